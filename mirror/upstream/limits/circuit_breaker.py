"""The circuit breaker: a host that fails again and again is left alone for a while, and then asked by one request.

::

    closed ──failures in a row──▶ open ──rest is over──▶ half open: one probe
      ▲                            ▲                      │          │
      └──────────── it answers ────┼──────────────────────┘          │
                                   └──── it fails: rest twice as long ┘

It does no I/O and keeps no timer: it is told what happened and asks the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from mirror.runtime.clock import Clock


class BreakerState(Enum):
    """State of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class BreakerThresholds:
    """Thresholds at which a breaker opens, and durations.

    Attributes:
        failures: so many in a row open it. A connect timeout opens it alone: no other failure costs as much.
        rest_seconds: how long it is open at first; twice as long after each probe that fails.
        longest_rest_seconds: it is never open for longer without a probe.
    """

    failures: int = 5
    rest_seconds: float = 10.0
    longest_rest_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Opening:
    """The reason why nothing is let through.

    Attributes:
        since: when the failures led to this.
        why: what the last of them was.
        seconds_left: until a probe is let through; 0 while one is under way.
    """

    since: datetime
    why: str
    seconds_left: float


class CircuitBreaker:
    """The breaker of one host, in one process.

    Args:
        thresholds: when it opens.
        clock: tells the time.
    """

    def __init__(self, thresholds: BreakerThresholds, clock: Clock) -> None:
        self._thresholds = thresholds
        self._clock = clock
        self._failures = 0
        self._round = 0  # what began in an earlier one tells nothing new when it fails
        self._since: datetime | None = None
        self._why = ""
        self._rest_seconds = 0.0
        self._until = 0.0
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """Closed, open, or half open."""
        if self._since is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._clock.monotonic_seconds() >= self._until else BreakerState.OPEN

    @property
    def opening(self) -> Opening | None:
        """Why a request would not be let through just now; None where it would be."""
        left = self._until - self._clock.monotonic_seconds()
        if self._since is None or (left <= 0 and not self._probing):
            return None
        return Opening(self._since, self._why, max(left, 0.0))

    def admit(self) -> int:
        """Let a request through; only where :attr:`opening` is None.

        Returns:
            A permit, which is handed back with what became of the request.
        """
        if self._since is not None:
            self._probing = True
            self._round += 1
        return self._round

    def record_success(self) -> bool:
        """Note that the host answered. Returns whether that closed the breaker."""
        closed = self._since is not None
        self._failures = 0
        self._since = None
        self._probing = False
        self._round += closed
        return closed

    def record_failure(self, permit: int, why: str, *, at_once: bool = False) -> bool:
        """Note that the host did not answer.

        Args:
            permit: what :meth:`admit` gave.
            why: a sentence for people.
            at_once: whether this alone opens the breaker.

        Returns:
            Whether that opened the breaker, or kept it open.
        """
        if permit != self._round:
            return False
        self._failures += 1
        again = self._since is not None
        if not (again or at_once or self._failures >= self._thresholds.failures):
            return False
        rest = self._rest_seconds * 2 if again else self._thresholds.rest_seconds
        self._rest_seconds = min(rest, self._thresholds.longest_rest_seconds)
        self._until = self._clock.monotonic_seconds() + self._rest_seconds
        self._since = self._since or self._clock.now()
        self._why = why
        self._probing = False
        self._round += 1
        return True

    def record_abandoned(self, permit: int) -> None:
        """Note that nobody waits for the answer any more: the next request may be the probe."""
        if permit == self._round:
            self._probing = False
