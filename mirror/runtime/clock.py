"""Clocks as an injected dependency, so tests can control the time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Source of the current time."""

    def now(self) -> datetime:
        """Return the current time of day in UTC."""
        ...

    def monotonic_seconds(self) -> float:
        """Return the seconds since a fixed moment. The value never decreases."""
        ...


class SystemClock:
    """The clock of the operating system."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        return time.monotonic()
