"""Counting of refused clients, with rate-limited log lines."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

#: Least time between two log lines of one kind, in seconds.
_PERIOD_SECONDS: Final = 60.0


class RefusalLog:
    """Counts and logs the refusals at one limit.

    Args:
        setting: the configuration key of the limit.
        now_seconds: a monotonic clock, in seconds.

    Attributes:
        count: number of refusals.
    """

    def __init__(self, setting: str, now_seconds: Callable[[], float] = monotonic) -> None:
        self.setting = setting
        self.count = 0
        self._now_seconds = now_seconds
        self._told = 0
        self._told_at_seconds = -_PERIOD_SECONDS

    def add(self, client: str) -> None:
        """Count a refusal. Log it if the last line is a minute old, because a flood must not fill the log."""
        self.count += 1
        now_seconds = self._now_seconds()
        if now_seconds - self._told_at_seconds >= _PERIOD_SECONDS:
            _log.warning("client refused", client=client, limit=self.setting, count=self.count - self._told)
            self._told, self._told_at_seconds = self.count, now_seconds
