"""A limit on concurrent work per owner, with a queue."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class PerOwnerLimit:
    """A number of places for each owner, granted in the order of the requests.

    Args:
        most: largest number of concurrent places per owner.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._present: Counter[Hashable] = Counter()
        self._free: dict[Hashable, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def one_of(self, owner: Hashable) -> AsyncIterator[None]:
        """Wait for a place and hold the place until the block ends."""
        self._present[owner] += 1
        try:
            async with self._free.setdefault(owner, asyncio.Semaphore(self._most)):
                yield
        finally:
            self._present[owner] -= 1
            # Owners without work are forgotten, so memory does not grow with the number of owners ever seen.
            if not self._present[owner]:
                del self._present[owner], self._free[owner]

    def are_awaited(self, owner: Hashable) -> bool:
        """Return True if another task waits for a place of this owner."""
        return self._present[owner] > self._most
