"""Clients that were refused because they have as much as they may: counted, and told of in the log now and then."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

#: Least time between two lines of one kind in the log.
_PERIOD_SECONDS: Final = 60.0


class RefusalLog:
    """Refusals of one kind.

    Args:
        setting: the limit that was reached, as the configuration names it.
        now_seconds: a clock that never goes back.

    Attributes:
        count: how many there were.
    """

    def __init__(self, setting: str, now_seconds: Callable[[], float] = monotonic) -> None:
        self.setting = setting
        self.count = 0
        self._now_seconds = now_seconds
        self._told = 0
        self._told_at_seconds = -_PERIOD_SECONDS

    def add(self, client: str) -> None:
        """Count one, and log it where nothing was logged within the last minute: a flood must not fill the log."""
        self.count += 1
        now_seconds = self._now_seconds()
        if now_seconds - self._told_at_seconds >= _PERIOD_SECONDS:
            _log.warning("client refused", client=client, limit=self.setting, count=self.count - self._told)
            self._told, self._told_at_seconds = self.count, now_seconds
