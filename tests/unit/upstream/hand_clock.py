from __future__ import annotations

from datetime import UTC, datetime


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic_seconds(self) -> float:
        return self.seconds
