"""One client connection, with our own error bodies for input that is not a valid request."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from mirror.server.http import error_responses
from mirror.server.http.request_guard import GuardedHandler, HeadTooLong, ReadRounds

#: Most bytes of an unwanted body read after its answer, framing included. A client that sends its whole body first
#: would otherwise see a reset connection instead of the answer.
MOST_DRAINED_BYTES: Final = 64 * 1024 * 1024
#: Reason of the refusal of a client that began a TLS handshake.
TLS_TO_PLAIN: Final = (
    "the client spoke TLS to a port without TLS; fix: use http:// there, list the server under insecure-registries of "
    "the engine, or set server.tls"
)
#: Words of aiohttp for the beginning of a TLS handshake.
_SPOKE_TLS: Final = "HTTPS traffic"
#: Beginnings of aiohttp's reasons, and the same in words of HTTP.
_WORDS: Final = {
    "Pause on": "it is HTTP/2; fix: use HTTP/1.1",
    "Bad status line": "its first line is not a request line",
    "Invalid method": "its method is unknown",
    "Missing 'Host'": "it has no Host header",
    "Invalid header": "a header is malformed",
    "Invalid HTTP version": "its version of HTTP is unknown",
    "Content-Length can't": "it has both Content-Length and Transfer-Encoding",
}
# Linger for 0 s: the kernel drops unsent data and resets the connection.
_RESET: Final = struct.pack("ii", 1, 0)


class ClientConnection(GuardedHandler):
    """A connection that answers protocol errors in the format of the API, and leaves no task behind.

    Args:
        leave: called when the connection is lost.
        rounds: schedules reading among all connections.
        server: handles the requests.
        options: passed to aiohttp.

    Attributes:
        ended_because: the reason why the server ended the connection during an answer; empty if it did not.
    """

    __slots__ = ("_draining", "_leave", "ended_because")

    def __init__(self, leave: Callable[[], None], rounds: ReadRounds, server: web.Server, **options: Any) -> None:
        super().__init__(rounds, server, **options)
        self._leave = leave
        self._draining = False
        self.ended_because = ""

    def end(self, reason: str) -> None:
        """Reset the connection, and note the reason for the log."""
        self.ended_because = reason
        if self.transport is None:
            return
        connection = self.transport.get_extra_info("socket")
        with suppress(OSError):  # the client has reset the connection meanwhile
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            # Not transport.abort(): a handler that waits in sendfile would never be woken.
            connection.shutdown(socket.SHUT_RDWR)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the handler task unless a request is still being handled. Called by asyncio."""
        self._leave()
        task, answered = self._task_handler, self._draining or not self._request_in_progress
        super().connection_lost(exc)
        # After an answer aiohttp waits for the rest of the body, which cannot arrive any more.
        if task is not None and answered:
            task.cancel()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, and drain the rest of the request body within bounds. Called by aiohttp."""
        sent, reset = await super().finish_response(request, resp, start_time)
        if not reset and not request.content.is_eof():
            if resp.status == HTTPStatus.REQUEST_TIMEOUT:
                self._lingering_time = 0.0  # ended for being slow: draining would keep the slot others wait for
            else:
                await self._drain(request)
        return sent, reset

    async def _drain(self, request: web.BaseRequest) -> None:
        """Read and drop the rest of a request body. End the connection if the rest is too long or too slow."""
        end_bytes, self._draining = self.body_bytes + MOST_DRAINED_BYTES, True
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lingering_time):
                    while self.body_bytes < end_bytes and not request.content.is_eof():
                        await request.content.readany()
        finally:
            self._draining = False
        if not request.content.is_eof():
            # aiohttp would drain for the same time again. With 0 it closes the connection instead.
            self._lingering_time = 0.0

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer input that is not HTTP or exceeds a limit. Called by aiohttp."""
        if isinstance(exc, LineTooLong):
            return error_responses.unreadable(
                431, f"the request line or a header is longer than {self.max_line_size} bytes"
            )
        if isinstance(exc, HeadTooLong):
            return error_responses.unreadable(431, exc.message)
        # The first line only: aiohttp adds the offending bytes in further lines.
        reason = (message or "it is not HTTP").partition("\n")[0]
        if _SPOKE_TLS in reason:
            return error_responses.unreadable(status, TLS_TO_PLAIN)
        return error_responses.unreadable(status, f"the request cannot be read: {_in_our_words(reason)}")


def _in_our_words(reason: str) -> str:
    """Return a reason of aiohttp, which speaks of its parser, in words of HTTP."""
    return next((ours for theirs, ours in _WORDS.items() if reason.startswith(theirs)), "it is not valid HTTP/1.1")


class ConnectionFactory(asyncio.Protocol):
    """A new connection whose protocol is chosen by the client's address.

    Args:
        serve: returns the protocol that takes the connection over, or None to abort the connection. Called with the
            client's address, which is empty if the connection has none.
    """

    def __init__(self, serve: Callable[[str], asyncio.Protocol | None]) -> None:
        self._serve = serve

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the connection over to the chosen protocol, or abort it. Called by asyncio."""
        peer = transport.get_extra_info("peername")
        protocol = self._serve(peer[0] if isinstance(peer, tuple) else "")
        if protocol is not None:
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        elif isinstance(transport, asyncio.Transport):
            transport.abort()
