"""``Retry-After``: how long a busy server wants to be left alone (RFC 9110 section 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def parse(header: str | None, now: datetime) -> float | None:
    """Read ``Retry-After``: a number of seconds, or a date.

    Args:
        header: its value, or None where there is none.
        now: the time of day, against which a date is measured.

    Returns:
        Seconds to wait, never below 0; None where the header is absent or makes no sense.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max((until - now).total_seconds(), 0.0)
