"""Parsing of ``Retry-After``, the delay a busy server asks for (RFC 9110, section 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def parse(header: str | None, now: datetime) -> float | None:
    """Parse ``Retry-After``, given as a number of seconds or as a date.

    Args:
        header: the header's value; None if the header is absent.
        now: the current time, used to convert a date to a delay.

    Returns:
        Seconds to wait, never below 0; None if the header is absent or malformed.
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
