"""Names and actions in access rules. Many commands read a configuration without any."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias, TypeVar

from pydantic import AfterValidator

from mirror.access.caller_names import CLIENT_PREFIX, EVERY_USER
from mirror.access.rights import USERS_ONLY, AccessAction
from mirror.oci.errors import NameInvalid

Item = TypeVar("Item")

#: Prefix of a group in the users of a rule. User names have no colon, so no user can be called like that.
GROUP_PREFIX: Final = "group:"
_GROUP_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def parse_actions(value: object) -> object:
    """Split actions that are written as one text, such as ``pull,push``. Return any other value unchanged."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def check_anonymous(actions: tuple[AccessAction, ...] | None) -> tuple[AccessAction, ...] | None:
    """Return the actions of callers without a login.

    Raises:
        ValueError: an action is never given to callers without a login.
    """
    # Such a right in server.anonymous is a mistake, so the server does not start with it (ADR 21).
    if given := [action.value for action in actions or () if action in USERS_ONLY]:
        raise ValueError(
            f"{given[0]} is never given to callers without a login; fix: give it to a user, by a rule under access:"
        )
    return actions


def not_empty(listed: tuple[Item, ...]) -> tuple[Item, ...]:
    """Return a list unchanged. Raises ValueError if it is empty."""
    if not listed:
        raise ValueError("is empty; fix: add at least one entry")
    return listed


def check_user(name: str) -> str:
    """Return the name of a user, ``*`` for every user, or a pattern for certificates such as ``cert:CN=host-*``.

    Raises:
        ValueError: no user and no client can have this name.
    """
    # Neither an asterisk nor a colon is in the grammar of user names, so no user can be called like that.
    if name == EVERY_USER:
        return name
    from mirror.access.certificates.client_identity import IdentityPattern
    from mirror.records.users import parse_user_name

    try:
        return IdentityPattern.parse(name).text if name.startswith(CLIENT_PREFIX) else parse_user_name(name)
    except NameInvalid as error:
        raise ValueError(str(error)) from error


def _check_group_name(name: str) -> str:
    if not _GROUP_NAME.fullmatch(name):
        raise ValueError(
            "is not a group's name; fix: use at most 64 lower-case letters, digits and . _ -, and begin with a letter "
            "or digit"
        )
    return name


def _check_member(name: str) -> str:
    if name.startswith(GROUP_PREFIX):
        raise ValueError("a group has users and certificates as members, and no groups; fix: list the members of both")
    return check_user(name)


def check_caller(name: str) -> str:
    """Return the name of a user, a pattern for certificates, or a group as ``group:NAME``.

    Raises:
        ValueError: no user, client or group can have this name.
    """
    if not name.startswith(GROUP_PREFIX):
        return check_user(name)
    _check_group_name(name.removeprefix(GROUP_PREFIX))
    return name


#: Members of each group, by the name of the group.
Groups: TypeAlias = dict[
    Annotated[str, AfterValidator(_check_group_name)],
    Annotated[tuple[Annotated[str, AfterValidator(_check_member)], ...], AfterValidator(not_empty)],
]
