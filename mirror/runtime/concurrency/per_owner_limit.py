"""So many at a time of each owner; whoever comes later waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class PerOwnerLimit:
    """Gives each owner so many places, in the order in which they ask.

    Args:
        most: places of one owner.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._present: Counter[Hashable] = Counter()
        self._free: dict[Hashable, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def one_of(self, owner: Hashable) -> AsyncIterator[None]:
        """Wait for a place, and have it until the block ends."""
        self._present[owner] += 1
        try:
            async with self._free.setdefault(owner, asyncio.Semaphore(self._most)):
                yield
        finally:
            self._present[owner] -= 1
            if not self._present[owner]:
                del self._present[owner], self._free[owner]

    def are_awaited(self, owner: Hashable) -> bool:
        """Whether somebody waits for a place of this owner."""
        return self._present[owner] > self._most
