"""Names of users of the operating system."""

import os
import pwd


def os_user_name(user_id: int | None = None) -> str:
    """Return the name of a user, or its number if the user has no name, as in many containers.

    Args:
        user_id: number of the user. If None, the user who runs this process.
    """
    number = os.getuid() if user_id is None else user_id
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
