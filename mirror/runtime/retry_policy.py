"""Policy for retrying operations after temporary failures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits on the attempts at one operation. Progress resets the count: only consecutive failures count.

    Attributes:
        attempts: most attempts, including the first; None: no limit.
        first_delay_seconds: delay after the first failure. The delay doubles after each further failure.
        longest_delay_seconds: upper limit of a delay. A server that asks for a longer delay is not asked again.
        total_seconds: longest time over which failures may continue, delays included; None: no limit.
    """

    attempts: int | None = 3
    first_delay_seconds: float = 0.25
    longest_delay_seconds: float = 10.0
    total_seconds: float | None = None

    def delays(self) -> Iterator[float]:
        """Yield the delay in seconds after each failure, without end."""
        seconds = self.first_delay_seconds
        while True:
            yield min(seconds, self.longest_delay_seconds)
            seconds = min(seconds * 2, self.longest_delay_seconds)

    def allows_another(self, failures: int, elapsed_seconds: float = 0.0) -> bool:
        """Return True if another attempt is allowed.

        Args:
            failures: number of consecutive failed attempts.
            elapsed_seconds: time from the last progress to the start of the next attempt.
        """
        within_attempts = self.attempts is None or failures < self.attempts
        return within_attempts and (self.total_seconds is None or elapsed_seconds <= self.total_seconds)
