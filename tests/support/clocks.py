"""Clocks for tests."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
START_MONOTONIC_SECONDS = 1000.0


class HandClock:
    """A clock that stands still between calls of :meth:`advance`. Implements Clock."""

    def __init__(self, start: datetime = START) -> None:
        self.time = start
        self._start = start

    def now(self) -> datetime:
        return self.time

    def monotonic_seconds(self) -> float:
        return START_MONOTONIC_SECONDS + (self.time - self._start).total_seconds()

    def advance(self, **duration: float) -> None:
        """Move the clock forward. The arguments are those of timedelta."""
        self.time += timedelta(**duration)

    def set(self, **change: float) -> None:
        """Change the time of day as an administrator does. The monotonic time goes on."""
        self.time += timedelta(**change)
        self._start += timedelta(**change)


class ShiftedClock:
    """The machine's clock, set ahead by :meth:`advance`. Implements Clock.

    For tests that compare with times written by the machine, for example those of files and tokens.
    """

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._set = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead + self._set

    def monotonic_seconds(self) -> float:
        return time.monotonic() + self._ahead.total_seconds()

    def advance(self, **duration: float) -> None:
        """Move the clock forward. The arguments are those of timedelta."""
        self._ahead += timedelta(**duration)

    def set(self, **change: float) -> None:
        """Change the time of day as an administrator does. The monotonic time goes on."""
        self._set += timedelta(**change)
