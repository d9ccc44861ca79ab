"""Connections: counted, held to a limit, and answered in our own words where they bring no request."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from mirror.server import errors

#: Most of a body that is read after its answer, in bytes: who is still sending hears the answer, and no more is taken.
MOST_DRAINED_BYTES: Final = 16 * 1024 * 1024


class Connections:
    """The connections of this process.

    Args:
        most: how many are served at a time.

    Attributes:
        count: how many there are.
        refused: how many were one too many.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0
        self.refused = 0

    async def turn_away(self, _request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request on a connection that is one too many, whatever it asks.

        An answer, and not silence: a balancer takes its request elsewhere, and people see why.
        """
        return errors.turned_away(self.most)


class Connection(web.RequestHandler):
    """A connection whose own errors are answered as all others are, and that leaves no task behind."""

    __slots__ = ("_connections", "_draining")

    def __init__(self, connections: Connections, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._connections = connections
        self._draining = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._connections.count += 1
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by asyncio. What aiohttp waits for after an answer, the rest of a body, cannot come any more."""
        self._connections.count -= 1
        task, answered = self._task_handler, self._draining or not self._request_in_progress
        super().connection_lost(exc)
        if task is not None and answered:
            task.cancel()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, and read what is left of the body within bounds. Called by aiohttp."""
        sent, reset = await super().finish_response(request, resp, start_time)
        if not reset and not request.content.is_eof():
            await self._drain(request)
        return sent, reset

    async def _drain(self, request: web.BaseRequest) -> None:
        """Read the rest of a body that nobody wants; the connection ends where it is too long, or does not come."""
        left_bytes, self._draining = MOST_DRAINED_BYTES, True
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lingering_time):
                    while left_bytes > 0 and not request.content.is_eof():
                        left_bytes -= len(await request.content.readany())
        finally:
            self._draining = False
        if not request.content.is_eof():
            self._lingering_time = 0.0  # aiohttp, which would go on reading for as long, ends the connection instead

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, or over a limit. Called by aiohttp."""
        if isinstance(exc, LineTooLong):
            return errors.unreadable(431, f"the request line or a header is longer than {self.max_line_size} bytes")
        reason = (message or "it is not HTTP").partition("\n")[0]
        return errors.unreadable(status, f"the request cannot be read: {reason}")


class NoConnection(asyncio.Protocol):
    """A connection that is beyond even those that are turned away with an answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        if isinstance(transport, asyncio.Transport):
            transport.abort()
