"""Count of requests under way, which lets a stopping server wait for them."""

from __future__ import annotations

import asyncio
from types import TracebackType


class RequestsInFlight:
    """Counts requests by being entered as a context manager.

    Attributes:
        count: number of requests under way.
        closing: True while the server stops, so that connections end after their answer.
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
        """Wait until no request is under way. Return False if that takes longer than ``timeout_seconds``.

        From the call on, every connection ends after its current answer.
        """
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
