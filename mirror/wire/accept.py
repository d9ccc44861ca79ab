"""Parsing of ``Accept``, the media types a client can read (RFC 9110, section 12.5.1).

Several ``Accept`` headers are read as one list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: Characters of a client's list read at most. Engines send about 500.
MAX_ACCEPT_LENGTH: Final = 8 * 1024
_REFUSED = re.compile(r"q=0(?:\.0{0,3})?", re.IGNORECASE)


def names_any(lines: Iterable[str], media_types: Iterable[str]) -> bool:
    """Return True if the client asks for one of the types by its full name. ``*/*`` names no type.

    Args:
        lines: the values of the ``Accept`` headers, read up to :data:`MAX_ACCEPT_LENGTH` characters in total.
        media_types: the types to look for.
    """
    wanted, left = frozenset(media_types), MAX_ACCEPT_LENGTH
    for line in lines:
        if left <= 0:
            return False
        read, left = line[:left], left - len(line)
        for entry in read.split(","):
            name, *parameters = (part.strip() for part in entry.split(";"))
            # q=0 means "not acceptable" (RFC 9110, section 12.4.2), so a type with this weight is not asked for.
            if name.lower() in wanted and not any(_REFUSED.fullmatch(parameter) for parameter in parameters):
                return True
    return False
