"""``Accept``: what a client says it can read (RFC 9110, 12.5.1). Several lines are one list."""

from __future__ import annotations

import re
from collections.abc import Iterable

_REFUSED = re.compile(r"q=0(?:\.0{0,3})?", re.IGNORECASE)


def names_any(lines: Iterable[str], media_types: Iterable[str]) -> bool:
    """Whether one of the types is asked for by its full name; ``*/*`` names none."""
    wanted = frozenset(media_types)
    for line in lines:
        for entry in line.split(","):
            name, *parameters = (part.strip() for part in entry.split(";"))
            if name.lower() in wanted and not any(_REFUSED.fullmatch(parameter) for parameter in parameters):
                return True
    return False
