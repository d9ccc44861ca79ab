"""Limits of bytes a second from an upstream, by the time of day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, tzinfo


@dataclass(frozen=True, slots=True)
class BandwidthWindow:
    """A limit for a part of each day.

    Attributes:
        bytes_per_second: the limit; 1 or more.
        start: from when, on the clock of the zone.
        stop: until when, left out; before ``start``, it is on the next day. The same as ``start``: all day.
    """

    bytes_per_second: int
    start: time = time()
    stop: time = time()

    def holds_at(self, moment: time) -> bool:
        """Tell whether the limit holds at a time of day."""
        if self.start < self.stop:
            return self.start <= moment < self.stop
        return moment >= self.start or moment < self.stop


def rate_at(windows: Sequence[BandwidthWindow], zone: tzinfo, now: datetime) -> int | None:
    """The limit in bytes a second.

    Args:
        windows: the first that holds decides.
        zone: whose clock the windows are meant on.
        now: the time, in any zone.

    Returns:
        The limit; None where no window holds: as fast as it goes.
    """
    moment = now.astimezone(zone).time()
    return next((window.bytes_per_second for window in windows if window.holds_at(moment)), None)
