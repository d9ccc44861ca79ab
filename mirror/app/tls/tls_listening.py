"""The listeners of a server and their certificates, as configured."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Final

from mirror.runtime.clock import SystemClock
from mirror.runtime.files.reloading_file import ReloadingFile
from mirror.server.http_server import Listener
from mirror.server.tls.server_certificates import ServerTls
from mirror.settings import Settings

_PERIOD_SECONDS: Final = 2.0


def server_tls(settings: Settings) -> ServerTls | None:
    """Return the files of the server's certificates, or None if it speaks plain HTTP."""
    section = settings.server.tls
    if section is None:
        return None
    return ServerTls(section.certificate, section.key, section.client_ca, section.client_crl)


def server_contexts(settings: Settings) -> ReloadingFile[ssl.SSLContext] | None:
    """Return the TLS contexts for connections, or None if the server speaks plain HTTP. Blocks.

    Raises:
        ConfigurationFault: a file is unusable.
    """
    files = server_tls(settings)
    return None if files is None else files.reloading(SystemClock())


class LiveContexts:
    """The TLS contexts of a running server, whose files a reload may replace by others.

    Args:
        files: contexts from the files in use.

    Attributes:
        files: contexts from the files in use.
    """

    def __init__(self, files: ReloadingFile[ssl.SSLContext]) -> None:
        self.files = files

    async def current(self) -> ssl.SSLContext:
        """Return the context for a new connection."""
        return await self.files.current()

    async def follow(self) -> None:
        """Check the files every two seconds until cancelled, so that a mistake is logged before a client needs them."""
        while True:
            await asyncio.sleep(_PERIOD_SECONDS)
            await self.files.current()


def listeners_of(settings: Settings, sockets: Sequence[socket.socket], contexts: LiveContexts | None) -> list[Listener]:
    """Return the listeners: that of ``server.listen``, and that of ``server.plain`` if it is configured.

    Args:
        settings: settings of the server.
        sockets: their sockets.
        contexts: TLS contexts of the first one; None for plain HTTP.
    """
    plain = settings.server.plain
    listeners = [Listener(sockets[0], contexts)]
    return listeners if plain is None else [*listeners, Listener(sockets[1], networks=plain.networks)]
