"""How often and how long something that may pass is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds on the attempts at one thing. What makes progress begins anew: only attempts in a row are counted.

    Attributes:
        attempts: most attempts, the first one included; None: no limit.
        first_delay_seconds: the delay after the first failure; each further one is twice as long.
        longest_delay_seconds: no delay is longer. Who asks us to wait for longer is not asked again.
        total_seconds: the longest time that failures may go on, delays included; None: no limit.
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
        """Tell whether there may be one more attempt.

        Args:
            failures: how many attempts in a row have failed.
            elapsed_seconds: time since the last progress, until that attempt would begin.
        """
        within_attempts = self.attempts is None or failures < self.attempts
        return within_attempts and (self.total_seconds is None or elapsed_seconds <= self.total_seconds)
