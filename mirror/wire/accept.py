"""``Accept``: what a client says it can read (RFC 9110, 12.5.1). Several lines are one list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: Most of a client's list that is read, in characters; engines send some 500.
MAX_ACCEPT_LENGTH: Final = 8 * 1024
_REFUSED = re.compile(r"q=0(?:\.0{0,3})?", re.IGNORECASE)


def names_any(lines: Iterable[str], media_types: Iterable[str]) -> bool:
    """Whether one of the types is asked for by its full name; ``*/*`` names none.

    Args:
        lines: the headers; of them, :data:`MAX_ACCEPT_LENGTH` characters are read.
        media_types: the types.
    """
    wanted, left = frozenset(media_types), MAX_ACCEPT_LENGTH
    for line in lines:
        if left <= 0:
            return False
        read, left = line[:left], left - len(line)
        for entry in read.split(","):
            name, *parameters = (part.strip() for part in entry.split(";"))
            if name.lower() in wanted and not any(_REFUSED.fullmatch(parameter) for parameter in parameters):
                return True
    return False
