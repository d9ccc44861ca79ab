"""A limit on connections to one upstream that reserves some for short requests."""

from __future__ import annotations

import asyncio


class ConnectionSlots:
    """A number of connections. A quarter, at least one, is reserved for short requests.

    So a tag can be resolved while blobs are transferred, and a transfer that needs another request does not wait for
    its own connection.

    Args:
        connections: number of connections, at least 2.
    """

    def __init__(self, connections: int) -> None:
        self._all = asyncio.Semaphore(connections)
        self._long = asyncio.Semaphore(connections - max(1, connections // 4))

    async def enter(self, *, bulk: bool) -> None:
        """Wait for a free connection and take it. ``bulk`` is True for a long transfer."""
        # The scarcer semaphore comes first, so a waiting transfer holds none of the connections for short requests.
        if bulk:
            await self._long.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            if bulk:
                self._long.release()
            raise

    def leave(self, *, bulk: bool) -> None:
        """Release a connection."""
        self._all.release()
        if bulk:
            self._long.release()
