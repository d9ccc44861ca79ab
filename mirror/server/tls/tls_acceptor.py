"""Accepts connections with TLS, and connects each with its protocol after the handshake."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import structlog

from mirror.oci.errors import TooManyOpenFiles
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.server.tls.server_certificates import ContextSource
from mirror.server.tls.tls_handshake import HandshakeFailed, HandshakeOutcome, shake_hands, until_ready
from mirror.server.tls.tls_transport import TlsTransport

_log = structlog.get_logger(__name__)

#: Pause after a lack of file descriptors. asyncio waits as long.
_RETRY_SECONDS: Final = 1.0
_SHORTAGE: Final = TooManyOpenFiles.ERRNOS | {errno.ENOBUFS, errno.ENOMEM}


class TlsAcceptor:
    """Accepts connections with TLS on a listening socket.

    Args:
        listener: the listening socket.
        contexts: gives the TLS context of each connection, so that new certificates are used without a restart.
        serve: returns the protocol for a client's address, or None to abort the connection. The protocol is told when
            the connection is lost, also during the handshake.
        count: counts the handshakes.
    """

    def __init__(
        self,
        listener: socket.socket,
        contexts: ContextSource,
        serve: Callable[[str], asyncio.Protocol | None],
        count: Callable[[HandshakeOutcome], object],
    ) -> None:
        listener.settimeout(0)
        self._listener = listener
        self._contexts = contexts
        self._serve = serve
        self._count = count

    async def run(self) -> None:
        """Accept connections until cancelled. This closes the listening socket, and ends handshakes under way.

        Other connections go on. New clients are refused at once, and do not wait until those have ended.
        """
        async with BackgroundTasks() as handshakes:
            with closing(self._listener):
                while True:
                    # Not loop.sock_accept(): cancelled at the wrong moment, it neither returns nor closes a connection.
                    try:
                        connection, peer = self._listener.accept()
                    except BlockingIOError:
                        await until_ready(self._listener, writing=False)
                        continue
                    except OSError as error:
                        if error.errno in _SHORTAGE:
                            context = {"message": "no connection was accepted", "exception": error}
                            asyncio.get_running_loop().call_exception_handler(context)
                            await asyncio.sleep(_RETRY_SECONDS)
                        await asyncio.sleep(0)  # otherwise the client has disconnected meanwhile
                        continue
                    handshakes.create_task(self._begin(connection, peer))
                    # Processes that share the socket share its connections, and none takes all that wait.
                    await asyncio.sleep(0)

    async def _begin(self, connection: socket.socket, peer: tuple[Any, ...]) -> None:
        try:
            # Counted before the handshake: one client cannot have more connections than its limit in handshakes.
            protocol = self._serve(peer[0])
            if protocol is not None:
                await self._connect(connection, peer, protocol)
        except Exception as error:  # noqa: BLE001 - an error of one connection must not end the others
            _log.error("connection with TLS failed", client=peer[0], exc_info=error)
        finally:
            connection.close()  # without effect on the connection if TLS has taken it over

    async def _connect(self, connection: socket.socket, peer: tuple[Any, ...], protocol: asyncio.Protocol) -> None:
        """Shake hands with a client, and connect it with its protocol."""
        encrypted = None
        try:
            encrypted = await shake_hands(connection, self._contexts)
            self._count(HandshakeOutcome.DONE)
            TlsTransport(encrypted, peer, protocol, asyncio.get_running_loop())
        except BaseException as error:
            if encrypted is not None:
                encrypted.close()
            protocol.connection_lost(None)
            if not isinstance(error, HandshakeFailed):
                raise
            self._count(error.outcome)
            if error.outcome is not HandshakeOutcome.DISCONNECTED:
                _log.info("TLS handshake failed", client=peer[0], reason=error.reason)
