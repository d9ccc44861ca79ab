"""So many at a time, in short turns; who has had least goes first."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

#: One turn of so many goes to whoever has waited longest, so that those who come later cannot keep it waiting for ever.
_OLDEST_EVERY: Final = 4


class FairScheduler:
    """Shares out something scarce among pieces of work that take many turns each, and belong to somebody.

    Of those that wait, the next turn goes to the one whose owner has had least since it came, and among those of one
    owner to the one that has had least. So a small piece of work is done at once, however many large ones others have
    begun, and somebody with a hundred pieces of work has no more of it than somebody with one.

    Args:
        at_once: turns at the same time.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: list[_Waiting] = []
        self._numbers = count(1)
        self._granted = 0
        self._had: Counter[Hashable] = Counter()
        self._present: Counter[Hashable] = Counter()

    @contextmanager
    def work(self, owner: Hashable) -> Iterator[ScheduledWork]:
        """A piece of work of somebody. What owners have had is forgotten when they have no work left."""
        self._present[owner] += 1
        try:
            yield ScheduledWork(self, owner)
        finally:
            self._present[owner] -= 1
            if not self._present[owner]:
                del self._present[owner], self._had[owner]

    async def _begin(self, work: ScheduledWork) -> None:
        if self._free:
            self._free -= 1
            return
        waiting = _Waiting(work, next(self._numbers), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await waiting.granted
        except asyncio.CancelledError:
            if waiting.granted.cancelled():
                self._waiting.remove(waiting)
            else:
                self._end()
            raise

    def _end(self) -> None:
        # A task that was cancelled a moment ago has not run since, and still stands among those that wait.
        waiting = [each for each in self._waiting if not each.granted.cancelled()]
        if not waiting:
            self._free += 1
            return
        self._granted += 1
        is_for_oldest = self._granted % _OLDEST_EVERY == 0
        chosen = min(waiting, key=_number if is_for_oldest else self._rank)
        self._waiting.remove(chosen)
        chosen.granted.set_result(None)

    def _rank(self, waiting: _Waiting) -> tuple[int, int, int]:
        return self._had[waiting.work.owner], waiting.work.had, waiting.number


class ScheduledWork:
    """A piece of work, which takes one turn after the other. Made by :meth:`FairScheduler.work`.

    Attributes:
        owner: whose it is.
        had: what its turns have cost so far.
    """

    def __init__(self, turns: FairScheduler, owner: Hashable) -> None:
        self.owner = owner
        self.had = 0
        self._turns = turns

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends."""
        await self._turns._begin(self)
        try:
            yield
        finally:
            self._turns._end()

    def charge(self, cost: int) -> None:
        """Count what a turn has cost, in any unit. To be called before the turn ends."""
        self.had += cost
        self._turns._had[self.owner] += cost


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    work: ScheduledWork
    number: int
    granted: asyncio.Future[None]


def _number(waiting: _Waiting) -> int:
    return waiting.number
