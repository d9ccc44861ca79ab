"""Requests under way: counted, so that a server that stops can let them finish."""

from __future__ import annotations

import asyncio
from types import TracebackType


class RequestsInFlight:
    """Counts the blocks it is entered for.

    Attributes:
        count: blocks entered and not left.
        closing: whether the server is stopping, so that connections end with their answers.
    """

    def __init__(self) -> None:
        self.count = 0
        self.closing = False
        self._idle: asyncio.Event | None = None

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.count -= 1
        if self._idle is not None and not self.count:
            self._idle.set()

    async def drained(self, timeout_seconds: float) -> bool:
        """Wait until nothing is under way, and say whether that came in time."""
        self.closing = True
        self._idle = asyncio.Event()
        if not self.count:
            return True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
