"""Durations as people write them: ``90s``, ``30m``, ``6h`` or ``7d``. Pure."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from typing import Final

from mirror.oci.errors import ConfigurationFault

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,19})([smhd])")


def parse_duration(text: str) -> timedelta:
    """Parse ``90s``, ``30m``, ``6h`` or ``7d``.

    Raises:
        ConfigurationFault: the text is no such duration, or longer than a timedelta can be.
    """
    match = _DURATION.fullmatch(text)
    with suppress(OverflowError):
        if match is not None:
            return timedelta(**{_UNITS[match[2]]: int(match[1])})
    raise ConfigurationFault(f"{text[:40]!r} is not a duration; fix: write 90s, 30m, 6h or 7d")


def duration_text(duration: timedelta) -> str:
    """Format a duration for :func:`parse_duration`, in the largest unit without a remainder.

    Fractions of a second are cut off.
    """
    seconds = int(duration.total_seconds())
    size, unit = next(
        (size, unit) for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if seconds % size == 0
    )
    return f"{seconds // size}{unit}"
