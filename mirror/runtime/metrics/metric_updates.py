"""Functions that copy numbers kept elsewhere in a process into its shared metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

#: A worker that is killed loses at most the counts of this period.
_PERIOD_SECONDS: Final = 1.0

#: Functions of one source of numbers, from :meth:`mirror.runtime.metrics.shared_metrics.WorkerSlot.follow`.
UpdateGroup: TypeAlias = Sequence[Callable[[], None]]


class MetricUpdates:
    """All update functions of a process. Where two groups set the same gauge, the group added last decides."""

    def __init__(self) -> None:
        self._groups: list[UpdateGroup] = []

    def add(self, group: UpdateGroup) -> None:
        """Call these functions from now on."""
        self._groups.append(group)

    def remove(self, group: UpdateGroup) -> None:
        """Call these functions once more, for the last counts, and never again."""
        self.run()
        self._groups.remove(group)

    def run(self) -> None:
        """Call all functions."""
        for group in self._groups:
            for update in group:
                update()

    async def keep_up(self) -> None:
        """Call all functions every second until cancelled."""
        while True:
            self.run()
            await asyncio.sleep(_PERIOD_SECONDS)
