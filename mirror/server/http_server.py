"""Runs an application on a listening socket, and stops without cutting transfers off."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial

import structlog
from aiohttp import web

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.current_client import CLIENT
from mirror.server.access_log import AccessLog
from mirror.server.http.client_connection import ClientConnection, ConnectionFactory
from mirror.server.http.connection_limits import ConnectionDecision
from mirror.server.http.request_guard import ReadRounds
from mirror.server.http.server_limits import ServerLimits
from mirror.server.http_application import Application
from mirror.wire.client_address import client_key

_log = structlog.get_logger(__name__)

_BACKLOG = 1024
_LAST_WORDS_SECONDS = 1.0
# How long a connection beyond a limit has for its request, before it hears so.
_SURPLUS_SECONDS = 2.0
# Bytes of a body that wait for their reader, before the client is held back: per connection, so not many.
_READ_BYTES = 64 * 1024


def listen(host: str, port: int, limits: ServerLimits | None = None) -> socket.socket:
    """Open the socket that clients connect to. Made before any worker is forked, it serves all of them.

    Args:
        host: a name or address of this machine, without brackets.
        port: its port; 0 for one that is free.
        limits: their ``idle_seconds`` is how long a client may leave what it was sent without taking it.

    Raises:
        ConfigurationFault: the address cannot be had.
    """
    idle_seconds = (limits or ServerLimits()).idle_seconds
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
    application: Application, listener: socket.socket, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Serve inside the ``async with``.

    On the way out no connection is accepted any more, requests under way go on for at most
    ``Limits.shutdown_seconds``, and what is left then is cancelled.

    Args:
        application: what :func:`mirror.server.http_application.build` made.
        listener: what :func:`listen` opened; closed on the way out.
        tls: the server's certificate, where clients speak TLS.
    """
    limits, in_flight = application.limits, application.activity.in_flight
    with closing(listener):
        async with _accepting(application, listener, tls) as accepting:
            try:
                yield
            finally:
                accepting.close()
                if not await in_flight.drained(limits.shutdown_seconds):
                    _log.warning("requests aborted at shutdown", count=in_flight.count)


@asynccontextmanager
async def _accepting(
    application: Application, listener: socket.socket, tls: ssl.SSLContext | None
) -> AsyncIterator[asyncio.Server]:
    loop = asyncio.get_running_loop()
    limits, connections, rounds = application.limits, application.activity.connections, ReadRounds()
    servers = {
        ConnectionDecision.SERVED: web.Server(application.handle),
        ConnectionDecision.CLIENT_HAS_ENOUGH: web.Server(connections.answer_client),
        ConnectionDecision.FULL: web.Server(connections.answer_full),
    }
    options = {
        "loop": loop,
        "access_log_class": partial(AccessLog, application.requests),
        "max_line_size": limits.header_bytes,
        "max_field_size": limits.header_bytes,
        "max_headers": limits.headers,
        "read_bufsize": _READ_BYTES,
        "auto_decompress": False,
    }
    served = {"keepalive_timeout": limits.keep_alive_seconds, **options}
    surplus = {"keepalive_timeout": _SURPLUS_SECONDS, "lingering_time": _SURPLUS_SECONDS, **options}

    def serve(address: str) -> asyncio.Protocol | None:
        # Behind a proxy all connections are the proxy's; there the requests of each client are counted.
        client = "" if application.behind_proxy else client_key(address)
        CLIENT.set(client)  # the task that answers all requests of the connection begins with this context
        welcome = connections.arrived(client)
        if welcome is ConnectionDecision.ENDED:
            return None
        leave = partial(connections.left, client, welcome)
        return ClientConnection(
            leave, rounds, servers[welcome], **(served if welcome is ConnectionDecision.SERVED else surplus)
        )

    # asyncio takes up to ``backlog`` connections at a time. One at a time, processes that share the socket share the
    # connections too; the kernel is told the true length of its queue afterwards.
    accepting = await loop.create_server(partial(ConnectionFactory, serve), sock=listener, ssl=tls, backlog=1)
    listener.listen(_BACKLOG)
    try:
        yield accepting
    finally:
        servers[ConnectionDecision.SERVED].pre_shutdown()
        for each in servers.values():
            await each.shutdown(_LAST_WORDS_SECONDS)
