"""Bandwidth limits of an upstream by time of day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, tzinfo


@dataclass(frozen=True, slots=True)
class BandwidthWindow:
    """A limit for a part of each day.

    Attributes:
        bytes_per_second: the limit, at least 1.
        start: begin of the window, in local time of the zone.
        stop: end of the window, exclusive. A stop before ``start`` is on the next day. A stop equal to ``start`` means
            all day.
    """

    bytes_per_second: int
    start: time = time()
    stop: time = time()

    def holds_at(self, moment: time) -> bool:
        """Return True if the window contains a time of day."""
        if self.start < self.stop:
            return self.start <= moment < self.stop
        return moment >= self.start or moment < self.stop


def rate_at(windows: Sequence[BandwidthWindow], zone: tzinfo, now: datetime) -> int | None:
    """Return the limit in bytes per second.

    Args:
        windows: the windows. The first one that contains the current time applies.
        zone: time zone of the windows.
        now: current time, in any zone.

    Returns:
        The limit; None if no window applies, which means no limit.
    """
    moment = now.astimezone(zone).time()
    return next((window.bytes_per_second for window in windows if window.holds_at(moment)), None)
