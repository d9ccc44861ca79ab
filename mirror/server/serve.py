"""Runs an application on a listening socket, and stops without cutting transfers off."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from mirror.oci.errors import ConfigurationFault
from mirror.server import errors
from mirror.server.access_log import AccessLog
from mirror.server.application import IN_FLIGHT, LIMITS
from mirror.server.limits import Limits

_log = structlog.get_logger(__name__)

_BACKLOG = 1024
_LAST_WORDS_SECONDS = 1.0
# Bytes of a body that wait for their reader, before the client is held back: per connection, so not many.
_READ_BYTES = 64 * 1024


def listen(host: str, port: int, limits: Limits | None = None) -> socket.socket:
    """Open the socket that clients connect to. Made before any worker is forked, it serves all of them.

    Args:
        host: a name or address of this machine, without brackets.
        port: its port; 0 for one that is free.
        limits: their ``idle_seconds`` is how long a client may leave what it was sent without taking it.

    Raises:
        ConfigurationFault: the address cannot be had.
    """
    idle_seconds = (limits or Limits()).idle_seconds
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Connections inherit it. The kernel ends one whose peer takes nothing, which no read timeout would notice.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(idle_seconds * 1000))
            listener.bind(address)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationFault(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another address with server.listen",
            host=host,
            port=port,
        ) from error
    return listener


@asynccontextmanager
async def serving(
    application: web.Application, listener: socket.socket, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Serve inside the ``async with``.

    On the way out no connection is accepted any more, requests under way go on for at most
    ``Limits.shutdown_seconds``, and what is left then is cancelled.

    Args:
        application: what :func:`mirror.server.application.build` made.
        listener: what :func:`listen` opened; closed on the way out.
        tls: the server's certificate, where clients speak TLS.
    """
    limits, in_flight = application[LIMITS], application[IN_FLIGHT]
    runner = web.AppRunner(application, shutdown_timeout=_LAST_WORDS_SECONDS)
    with closing(listener):
        await runner.setup()
        try:
            server = await _accept(runner, listener, limits, tls)
            try:
                yield
            finally:
                server.close()
                if not await in_flight.drained(limits.shutdown_seconds):
                    _log.warning("requests cut off at shutdown", count=in_flight.count)
        finally:
            await runner.cleanup()


async def _accept(
    runner: web.AppRunner, listener: socket.socket, limits: Limits, tls: ssl.SSLContext | None
) -> asyncio.Server:
    manager = runner.server
    if manager is None:
        raise AssertionError("a runner that was set up has a server")
    loop = asyncio.get_running_loop()

    def connection() -> _Connection:
        return _Connection(
            manager,
            loop=loop,
            access_log_class=AccessLog,
            keepalive_timeout=limits.keep_alive_seconds,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.headers,
            read_bufsize=_READ_BYTES,
            auto_decompress=False,
        )

    # asyncio takes up to ``backlog`` connections at a time. One at a time, processes that share the socket share the
    # connections too; the kernel is told the true length of its queue afterwards.
    server = await loop.create_server(connection, sock=listener, ssl=tls, backlog=1)
    listener.listen(_BACKLOG)
    return server


class _Connection(web.RequestHandler):
    """A connection whose own errors are answered as all others are, and that leaves no task behind."""

    __slots__ = ()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by asyncio. What aiohttp waits for after an answer, the rest of a body, cannot come any more."""
        task, between_requests = self._task_handler, not self._request_in_progress
        super().connection_lost(exc)
        if task is not None and between_requests:
            task.cancel()

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
