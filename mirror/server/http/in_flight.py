"""Count of requests under way, which lets a stopping server, or a replaced configuration, wait for them."""

from __future__ import annotations

import asyncio
from types import TracebackType


class RequestsInFlight:
    """Counts requests by being entered as a context manager.

    Args:
        earlier: counts the requests that began before a reload; None if there was no reload.

    Attributes:
        count: number of requests under way, without earlier ones.
        closing: True while the server stops, so that connections end after their answer.
    """

    def __init__(self, earlier: RequestsInFlight | None = None) -> None:
        self.count = 0
        self.closing = False
        self._idle: asyncio.Event | None = None
        self._earlier = earlier if earlier is not None and earlier.in_all else None

    @property
    def in_all(self) -> int:
        """Number of requests under way, with earlier ones."""
        return self.count + (0 if self._earlier is None else self._earlier.in_all)

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.count -= 1
        if self._idle is not None and not self.count:
            self._idle.set()

    async def drained(self, timeout_seconds: float) -> bool:
        """Wait until no request is under way, earlier ones included.

        From the call on, every connection ends after its current answer.

        Returns:
            False if the wait took longer than ``timeout_seconds``.
        """
        self._close()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._all_ended()
        except TimeoutError:
            return False
        return True

    async def ended(self) -> None:
        """Wait until no request is under way, without earlier ones. For a count that gets no further requests."""
        while self.count:
            if self._idle is None:
                self._idle = asyncio.Event()
            self._idle.clear()
            await self._idle.wait()

    async def _all_ended(self) -> None:
        await self.ended()
        if self._earlier is not None:
            await self._earlier._all_ended()

    def _close(self) -> None:
        self.closing = True
        if self._earlier is not None:
            self._earlier._close()
