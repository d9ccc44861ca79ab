"""A scheduler for short turns. The work that has used least goes first."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

# Every fourth turn goes to the work that has waited longest. Otherwise a steady stream of new work, which has always
# used less, could block old work for ever.
_OLDEST_EVERY: Final = 4


class FairScheduler:
    """A scheduler that shares a scarce resource among pieces of work, which take many turns each and belong to owners.

    The next turn goes to the waiting work whose owner has used least since the owner's first pending work arrived.
    Among the work of one owner, the piece that has used least goes first. So small work finishes soon despite many
    large pieces of other owners, and an owner with a hundred pieces gets no more than an owner with one.

    Args:
        at_once: number of concurrent turns.
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
        """Yield a piece of work of an owner. The usage of an owner is forgotten once the owner has no work left."""
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
            # The turn may have been granted just before the cancellation. In this case the turn passes to the next in
            # line.
            if waiting.granted.cancelled():
                self._waiting.remove(waiting)
            else:
                self._end()
            raise

    def _end(self) -> None:
        # A task cancelled a moment ago has not run yet, so its entry is still in the list.
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
    """A piece of work, executed in turns. Created by :meth:`FairScheduler.work`.

    Attributes:
        owner: the owner.
        had: total cost of the turns so far.
    """

    def __init__(self, turns: FairScheduler, owner: Hashable) -> None:
        self.owner = owner
        self.had = 0
        self._turns = turns

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold the turn until the block ends."""
        await self._turns._begin(self)
        try:
            yield
        finally:
            self._turns._end()

    def charge(self, cost: int) -> None:
        """Add the cost of a turn, in any unit. Call before the turn ends."""
        self.had += cost
        self._turns._had[self.owner] += cost


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    work: ScheduledWork
    number: int
    granted: asyncio.Future[None]


def _number(waiting: _Waiting) -> int:
    return waiting.number
