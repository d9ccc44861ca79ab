"""Connections to one upstream: so many at the same time, and long transfers never take them all."""

from __future__ import annotations

import asyncio


class ConnectionSlots:
    """A number of connections. A quarter, one at least, is kept for short requests.

    So a tag is looked up while blobs move, and a transfer that must ask something in between does not wait for itself.

    Args:
        connections: how many there are, 2 or more.
    """

    def __init__(self, connections: int) -> None:
        self._all = asyncio.Semaphore(connections)
        self._long = asyncio.Semaphore(connections - max(1, connections // 4))

    async def enter(self, *, bulk: bool) -> None:
        """Take one, as soon as one is free; ``bulk``: whether it is for a long transfer."""
        if bulk:
            await self._long.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            if bulk:
                self._long.release()
            raise

    def leave(self, *, bulk: bool) -> None:
        """Give it back."""
        self._all.release()
        if bulk:
            self._long.release()
