"""Jumps of the time of day, which an administrator, a time server or a resumed machine causes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog

from mirror.runtime.clock import Clock

_LOG = structlog.get_logger(__name__)

#: Smallest change of the clock that counts as a jump. Time servers correct less than this all the time.
_LEAST_JUMP: Final = timedelta(minutes=5)


class ClockJumps:
    """Detector of jumps of the time of day, by comparison with the monotonic clock.

    A duration between two moments is unknown if the clock jumped in between. After a jump, or with a moment in the
    future, the caller gets a moment from which durations are known: the time at which this process noticed the jump.

    Args:
        clock: the clock to watch.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._has_jumped = False
        self._known_since = clock.now()
        self._ahead = self._known_since - timedelta(seconds=clock.monotonic_seconds())

    def trusted(self, moment: datetime) -> datetime:
        """Return ``moment``, or a later known moment if the clock jumped after it.

        A moment in the future was written before the clock was set back. It is replaced too, so it does not stay in the
        future for a year.
        """
        now = self._look()
        if moment > now or (self._has_jumped and moment < self._known_since):
            return min(self._known_since, now)
        return moment

    def _look(self) -> datetime:
        now = self._clock.now()
        ahead = now - timedelta(seconds=self._clock.monotonic_seconds())
        jump = ahead - self._ahead
        self._ahead = ahead
        if abs(jump) >= _LEAST_JUMP:
            self._has_jumped, self._known_since = True, now
            _LOG.warning("system clock jumped", seconds=round(jump.total_seconds()))
        return now
