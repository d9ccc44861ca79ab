"""One connection: what serves it, and what it is answered in our own words where it brings no request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from mirror.server.http import error_responses
from mirror.server.http.request_guard import GuardedHandler, HeadTooLong, ReadRounds

#: Most of a body that is read after its answer, in bytes, its framing included: who is still sending hears the answer,
#: and no more is taken.
MOST_DRAINED_BYTES: Final = 64 * 1024 * 1024


class ClientConnection(GuardedHandler):
    """A connection whose own errors are answered as all others are, and that leaves no task behind."""

    __slots__ = ("_draining", "_leave")

    def __init__(self, leave: Callable[[], None], rounds: ReadRounds, server: web.Server, **options: Any) -> None:
        super().__init__(rounds, server, **options)
        self._leave = leave
        self._draining = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by asyncio. What aiohttp waits for after an answer, the rest of a body, cannot come any more."""
        self._leave()
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
            if resp.status == HTTPStatus.REQUEST_TIMEOUT:
                self._lingering_time = 0.0  # others wait for the place
            else:
                await self._drain(request)
        return sent, reset

    async def _drain(self, request: web.BaseRequest) -> None:
        """Read the rest of a body that nobody wants; the connection ends where it is too long, or does not come."""
        end_bytes, self._draining = self.body_bytes + MOST_DRAINED_BYTES, True
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lingering_time):
                    while self.body_bytes < end_bytes and not request.content.is_eof():
                        await request.content.readany()
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
            return error_responses.unreadable(
                431, f"the request line or a header is longer than {self.max_line_size} bytes"
            )
        if isinstance(exc, HeadTooLong):
            return error_responses.unreadable(431, exc.message)
        reason = (message or "it is not HTTP").partition("\n")[0]
        return error_responses.unreadable(status, f"the request cannot be read: {reason}")


class ConnectionFactory(asyncio.Protocol):
    """A connection that has just been made: whom it comes from decides what serves it.

    Args:
        serve: given the address of the client, empty where there is none, gives the protocol that takes the connection
            over; None: it is ended.
    """

    def __init__(self, serve: Callable[[str], asyncio.Protocol | None]) -> None:
        self._serve = serve

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        peer = transport.get_extra_info("peername")
        protocol = self._serve(peer[0] if isinstance(peer, tuple) else "")
        if protocol is not None:
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        elif isinstance(transport, asyncio.Transport):
            transport.abort()
