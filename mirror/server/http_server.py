"""Runs an application on a listening socket, and stops without breaking transfers."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial

import structlog
from aiohttp import web

from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.runtime.current_client import CLIENT
from mirror.runtime.system_errors import LocalFault
from mirror.server.access_log import AccessLog
from mirror.server.http.answer_watch import AnswerWatch
from mirror.server.http.client_connection import ClientConnection, ConnectionFactory
from mirror.server.http.connection_limits import ConnectionDecision
from mirror.server.http.request_guard import ReadRounds
from mirror.server.http_application import Application
from mirror.server.live_application import LiveApplication
from mirror.server.tls.server_certificates import ContextSource
from mirror.server.tls.tls_acceptor import TlsAcceptor
from mirror.wire.client_address import Network, client_key, is_inside

_log = structlog.get_logger(__name__)

_BACKLOG = 1024
# Errors of a right configuration, whose cause is on this machine.
_LISTENING: dict[int, tuple[type[MirrorError], str]] = {
    errno.EADDRINUSE: (LocalFault, "end the program that uses the port ('ss -ltnp' shows it), or set server.listen"),
    errno.EACCES: (LocalFault, "set server.listen to a port above 1023, or let the service have CAP_NET_BIND_SERVICE"),
}
# aiohttp's timeout for ending the handlers that are left when shutdown_seconds are over.
_LAST_WORDS_SECONDS = 1.0
# Time for the request on a connection beyond a limit. Short, because such connections only get an error answer.
_SURPLUS_SECONDS = 2.0
# Buffered bytes of a body before the client has to wait. Small, because every connection may use it.
_READ_BYTES = 64 * 1024


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket. Opened before workers are forked, it is shared by all of them.

    Args:
        host: a host name or address of this machine, without brackets.
        port: the port; 0 for any free port.

    Raises:
        ConfigurationFault: the address is not one of this machine.
        LocalFault: the port is in use, or is closed to this user.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        elsewhere = (ConfigurationFault, "set server.listen to an address of this machine")
        fault, fix = _LISTENING.get(error.errno or 0, elsewhere)
        said = f"cannot listen on {host} port {port}: {error.strerror}; fix: {fix}"
        raise fault(said, host=host, port=port) from error
    return listener


@dataclass(slots=True, eq=False)
class Listener:
    """A listening socket, and how connections on it are served.

    Attributes:
        socket: the socket, from :func:`listen`.
        contexts: gives the TLS context of each connection; None for plain HTTP.
        networks: networks of the clients that may connect; None for all. May be changed while the listener is served.
    """

    socket: socket.socket
    contexts: ContextSource | None = None
    networks: tuple[Network, ...] | None = None


@asynccontextmanager
async def serving(
    application: Application, *listeners: Listener, write: Callable[[dict[str, object]], None] | None = None
) -> AsyncIterator[LiveApplication]:
    """Serve requests inside the ``async with``.

    On exit no new connections are accepted. Requests under way may continue for at most
    ``ServerLimits.shutdown_seconds``; the remaining ones are cancelled.

    Args:
        application: the application, from :func:`mirror.server.http_application.build`.
        listeners: the sockets to serve; closed on exit.
        write: writes the event of each answer to the log; None for structlog.

    Yields:
        The means to replace the application.
    """
    live = LiveApplication(application)
    with ExitStack() as sockets:
        for listener in listeners:
            sockets.enter_context(closing(listener.socket))
        async with _accepting(live, listeners, write or _write) as stop_accepting:
            try:
                yield live
            finally:
                # First, so that no new connection prolongs the wait.
                stop_accepting()
                limits, in_flight = live.application.limits, live.application.activity.in_flight
                if not await in_flight.drained(limits.shutdown_seconds):
                    _log.warning("requests aborted at shutdown", count=in_flight.in_all)


def _write(event: dict[str, object]) -> None:
    _log.info(**event)


@asynccontextmanager
async def _accepting(
    live: LiveApplication, listeners: Sequence[Listener], write: Callable[[dict[str, object]], None]
) -> AsyncIterator[Callable[[], object]]:
    """Accept connections inside the ``async with``. Yield a function that stops this, and ends no connection."""
    connections, rounds = live.application.activity.connections, ReadRounds()
    watch = AnswerWatch(live.application.activity, live.application.limits)
    servers = {
        ConnectionDecision.SERVED: web.Server(live.handle),
        ConnectionDecision.CLIENT_HAS_ENOUGH: web.Server(connections.answer_client),
        ConnectionDecision.FULL: web.Server(connections.answer_full),
        ConnectionDecision.OUTSIDE: web.Server(connections.answer_outside),
    }
    served: dict[str, object] = {}
    surplus: dict[str, object] = {}

    def follow_limits() -> None:
        limits = watch.limits = live.application.limits
        options = {
            "loop": asyncio.get_running_loop(),
            "access_log_class": partial(AccessLog, live, write),
            "max_line_size": limits.header_bytes,
            "max_field_size": limits.header_bytes,
            "max_headers": limits.headers,
            "read_bufsize": _READ_BYTES,
            "auto_decompress": False,  # content is stored exactly as sent
        }
        served.update(keepalive_timeout=limits.keep_alive_seconds, **options)
        surplus.update(keepalive_timeout=_SURPLUS_SECONDS, lingering_time=_SURPLUS_SECONDS, **options)

    follow_limits()
    live.on_replace(follow_limits)

    def serve(listener: Listener, address: str) -> asyncio.Protocol | None:
        # The connections of a proxy are not those of one client. Its requests are counted per client.
        client = "" if live.forwarded.proxies.trust(address) else client_key(address)
        CLIENT.set(client)  # inherited by the task that answers all requests of the connection
        is_outside = listener.networks is not None and not is_inside(address, listener.networks)
        welcome = connections.arrived(client, is_outside=is_outside)
        if welcome is ConnectionDecision.ENDED:
            return None

        def leave() -> None:
            connections.left(client, welcome)
            watch.remove(connection)

        connection = ClientConnection(
            leave, rounds, servers[welcome], **(served if welcome is ConnectionDecision.SERVED else surplus)
        )
        watch.add(connection, client)
        return connection

    async with BackgroundTasks() as tasks:
        tasks.create_task(watch.run())
        stopping: list[Callable[[], object]] = []
        for listener in listeners:
            serve_here = partial(serve, listener)
            if listener.contexts is None:
                stopping.append((await _accept_plain(listener.socket, serve_here)).close)
            else:
                acceptor = TlsAcceptor(listener.socket, listener.contexts, serve_here, live.handshake_ended)
                stopping.append(tasks.create_task(acceptor.run()).cancel)
        try:
            yield lambda: [stop() for stop in stopping]
        finally:
            servers[ConnectionDecision.SERVED].pre_shutdown()
            for each in servers.values():
                await each.shutdown(_LAST_WORDS_SECONDS)


async def _accept_plain(listener: socket.socket, serve: Callable[[str], asyncio.Protocol | None]) -> asyncio.Server:
    # asyncio accepts up to ``backlog`` connections in one go, so one process would take them all. With 1, processes
    # sharing the socket share its connections. listen() then sets the real length of the kernel's queue.
    server = await asyncio.get_running_loop().create_server(partial(ConnectionFactory, serve), sock=listener, backlog=1)
    listener.listen(_BACKLOG)
    return server
