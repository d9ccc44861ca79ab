"""The rate at which a body comes. Pure."""

from __future__ import annotations

from typing import Final

#: Time over which a rate is measured, in seconds.
WINDOW_SECONDS: Final = 60.0


class BodyRate:
    """The rate of a body, measured over a minute each time.

    Args:
        least_bytes_per_second: what comes more slowly is slow.
        now_seconds: when the body began.
    """

    def __init__(self, least_bytes_per_second: float, now_seconds: float) -> None:
        self._least_bytes_per_second = least_bytes_per_second
        self._since_seconds = now_seconds
        self._bytes = 0
        self._slow = False

    def received(self, size_bytes: int, now_seconds: float) -> bool:
        """Count bytes that have come, and say whether the body was slow when its rate was last measured."""
        self._bytes += size_bytes
        elapsed_seconds = now_seconds - self._since_seconds
        if elapsed_seconds >= WINDOW_SECONDS:
            self._slow = self._bytes < self._least_bytes_per_second * elapsed_seconds
            self._bytes, self._since_seconds = 0, now_seconds
        return self._slow
