"""Times as text: ISO 8601 in UTC for programs, and "3 h ago" for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, overload

#: Limit in seconds, seconds of the unit, and the unit. A span below the limit is shown in the unit.
_UNITS: Final = ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h"))
_DAY_SECONDS: Final = 86_400


@overload
def machine_time(moment: datetime) -> str: ...


@overload
def machine_time(moment: datetime | None) -> str | None: ...


def machine_time(moment: datetime | None) -> str | None:
    """Return a time for programs, such as ``2026-11-28T18:28:40Z``.

    Args:
        moment: a time with a time zone. Fractions of a second are cut off.

    Returns:
        The time in UTC with whole seconds (RFC 3339), or None if ``moment`` is None.
    """
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def time_ago(moment: datetime | None, now: datetime) -> str:
    """Return the age of a time for people, such as ``3 h ago``.

    Args:
        moment: a time with a time zone, or None if the event has not happened.
        now: the current time, with a time zone.

    Returns:
        ``never`` if ``moment`` is None. ``just now`` if ``moment`` is less than a second old, or later than ``now``.
        Otherwise the age as :func:`rounded_span` shows it, followed by ``ago``.
    """
    if moment is None:
        return "never"
    # Another host may have written the moment, with a clock that is ahead of ours.
    return "just now" if now - moment < timedelta(seconds=1) else f"{rounded_span(now - moment)} ago"


def rounded_span(span: timedelta) -> str:
    """Return a length of time in one unit, such as ``45 s``, ``12 min``, ``5 h`` or ``3 d``.

    Seconds are used below 90 s, minutes below 90 min, hours below 36 h, and days from there on. A negative span is
    shown as ``0 s``.
    """
    seconds = max(span.total_seconds(), 0)
    for limit_seconds, unit_seconds, unit in _UNITS:
        if seconds < limit_seconds:
            return f"{seconds / unit_seconds:.0f} {unit}"
    return f"{seconds / _DAY_SECONDS:.0f} d"
