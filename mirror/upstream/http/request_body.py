"""Sending of a request body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Final

#: Most bytes that the server must read within the timeout. Small, so that a slow line passes them in time.
PIECE_BYTES: Final = 16 * 1024


class RequestBody:
    """The body of a request. Records errors of its source, and limits the time for which the server does not read.

    aiohttp's read timeout starts only after the body was sent. A server that stops reading would block the request for
    ever.

    Attributes:
        data: the body for aiohttp.
        error: exception of the source, which aiohttp wraps in its own exceptions.
    """

    def __init__(self, body: bytes | AsyncIterable[bytes] | None, timeout_seconds: float) -> None:
        self.error: Exception | None = None
        self._timeout_seconds = timeout_seconds
        self._limit: asyncio.Timeout | None = None
        self.data = self._stream(body) if isinstance(body, AsyncIterable) else BytesIO(body) if body else body

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Raise TimeoutError in the block if the server does not read a piece in time."""
        try:
            async with asyncio.timeout(None) as self._limit:
                yield
        finally:
            self._limit = None

    async def _stream(self, body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in body:
                for start in range(0, len(chunk), PIECE_BYTES):
                    self._watch(asyncio.get_running_loop().time() + self._timeout_seconds)
                    yield chunk[start : start + PIECE_BYTES]
                    self._watch(None)
        except Exception as error:
            self.error = error
            raise

    def _watch(self, until: float | None) -> None:
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(until)
