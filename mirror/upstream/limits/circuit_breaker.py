"""Circuit breaker: after repeated failures a host gets no requests for a while, and then a single probe.

::

    closed ──failures in a row──▶ open ──rest is over──▶ half open: one probe
      ▲                            ▲                      │          │
      └──────── probe succeeds ────┼──────────────────────┘          │
                                   └─ probe fails: rest twice as long ┘

The breaker does no I/O and has no timer. Callers report results, and the breaker reads the clock.
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
    """Thresholds and durations of a breaker.

    Attributes:
        failures: consecutive failures that open the breaker. One connect timeout also opens the breaker, because no
            other failure costs as much time.
        rest_seconds: first rest before a probe. The rest doubles after each failed probe.
        longest_rest_seconds: upper limit of a rest.
    """

    failures: int = 5
    rest_seconds: float = 10.0
    longest_rest_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Opening:
    """The reason for rejecting requests.

    Attributes:
        since: time at which the breaker opened.
        why: description of the last failure.
        status: HTTP status of the last failure; empty if there was no answer.
        seconds_left: time until the next probe; 0 while a probe is running.
    """

    since: datetime
    why: str
    seconds_left: float
    status: str = ""


class CircuitBreaker:
    """The breaker of one host, in one process.

    Args:
        thresholds: thresholds and durations.
        clock: current time.
    """

    def __init__(self, thresholds: BreakerThresholds, clock: Clock) -> None:
        self._thresholds = thresholds
        self._clock = clock
        self._failures = 0
        # Increases with every change of state. A failure of a request from an earlier round is ignored: requests under
        # way at the moment of opening must not extend the rest.
        self._round = 0
        self._since: datetime | None = None
        self._why = ""
        self._status = ""
        self._rest_seconds = 0.0
        self._until = 0.0
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """State of the breaker at this moment."""
        if self._since is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._clock.monotonic_seconds() >= self._until else BreakerState.OPEN

    @property
    def opening(self) -> Opening | None:
        """The reason for rejecting a request at this moment; None if a request is allowed."""
        left = self._until - self._clock.monotonic_seconds()
        if self._since is None or (left <= 0 and not self._probing):
            return None
        return Opening(self._since, self._why, max(left, 0.0), self._status)

    def admit(self) -> int:
        """Admit a request. Call only if :attr:`opening` is None.

        Returns:
            A permit, to be passed back with the result of the request.
        """
        if self._since is not None:
            self._probing = True
            self._round += 1
        return self._round

    def record_success(self) -> bool:
        """Record that the host answered. Return True if the answer closed the breaker."""
        # Any answer closes the breaker, also a late one of an earlier round: the host is alive.
        closed = self._since is not None
        self._failures = 0
        self._since = None
        self._probing = False
        self._round += closed
        return closed

    def record_failure(self, permit: int, why: str, *, status: str = "", at_once: bool = False) -> bool:
        """Record that the host did not answer.

        Args:
            permit: the permit returned by :meth:`admit`.
            why: description of the failure, for people.
            status: HTTP status of the failure; empty if there was no answer.
            at_once: True if this failure alone opens the breaker.

        Returns:
            True if the failure opened the breaker or kept the breaker open.
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
        self._why, self._status = why, status
        self._probing = False
        self._round += 1
        return True

    def record_abandoned(self, permit: int) -> None:
        """Record that the caller no longer waits for the answer. The next request may then be the probe."""
        if permit == self._round:
            self._probing = False
