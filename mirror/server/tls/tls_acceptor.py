"""Accepts connections with TLS, and connects each with its protocol after the handshake."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

import structlog

from mirror.oci.errors import TooManyOpenFiles
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.server.tls.server_certificates import ContextSource
from mirror.server.tls.tls_handshake import HandshakeFailed, HandshakeOutcome, shake_hands
from mirror.server.tls.tls_transport import TlsTransport

_log = structlog.get_logger(__name__)

#: Pause after a lack of file descriptors. asyncio waits as long.
_RETRY_SECONDS: Final = 1.0


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
        """Accept connections until cancelled. This ends handshakes under way, and no other connection."""
        loop = asyncio.get_running_loop()
        async with BackgroundTasks() as handshakes:
            while True:
                try:
                    connection, peer = await loop.sock_accept(self._listener)
                except OSError as error:
                    if error.errno in TooManyOpenFiles.ERRNOS:
                        loop.call_exception_handler({"message": "no connection was accepted", "exception": error})
                        await asyncio.sleep(_RETRY_SECONDS)
                    continue  # otherwise the client has disconnected meanwhile
                handshakes.create_task(self._begin(connection, peer))
                # Processes that share the socket share its connections, and none takes all that wait.
                await asyncio.sleep(0)

    async def _begin(self, connection: socket.socket, peer: tuple[Any, ...]) -> None:
        # Counted before the handshake, so that one client cannot have more connections than its limit in handshakes.
        protocol = self._serve(peer[0])
        if protocol is None:
            connection.close()
            return
        encrypted = None
        try:
            encrypted = await shake_hands(connection, self._contexts)
        except HandshakeFailed as failure:
            self._count(failure.outcome)
            if failure.outcome is not HandshakeOutcome.DISCONNECTED:
                _log.info("TLS handshake failed", client=peer[0], reason=failure.reason)
        except Exception as error:  # noqa: BLE001 - an error of one connection must not end the others
            _log.error("TLS handshake failed", client=peer[0], exc_info=error)
        finally:
            if encrypted is None:
                protocol.connection_lost(None)
        if encrypted is not None:
            self._count(HandshakeOutcome.DONE)
            TlsTransport(encrypted, peer, protocol, asyncio.get_running_loop())
