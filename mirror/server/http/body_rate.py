"""Measurement of the rate at which a request body arrives. Performs no I/O."""

from __future__ import annotations

from typing import Final

#: Length of a measuring window, in seconds.
WINDOW_SECONDS: Final = 60.0


class BodyRate:
    """The rate of a request body, measured over consecutive windows of :data:`WINDOW_SECONDS`.

    Args:
        least_bytes_per_second: a body below this rate is slow.
        now_seconds: the time at which the body began.
    """

    def __init__(self, least_bytes_per_second: float, now_seconds: float) -> None:
        self._least_bytes_per_second = least_bytes_per_second
        self._since_seconds = now_seconds
        self._bytes = 0
        self._slow = False

    def received(self, size_bytes: int, now_seconds: float) -> bool:
        """Count received bytes. Return True if the body was slow in the last complete window."""
        self._bytes += size_bytes
        elapsed_seconds = now_seconds - self._since_seconds
        if elapsed_seconds >= WINDOW_SECONDS:
            self._slow = self._bytes < self._least_bytes_per_second * elapsed_seconds
            # Each window starts from zero: a fast beginning must not pay for a slow rest.
            self._bytes, self._since_seconds = 0, now_seconds
        return self._slow
