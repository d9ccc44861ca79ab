"""Certificates for tests, made anew in each run."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from mirror.server.tls.tls_transport import TlsSocket


@dataclass(frozen=True, slots=True)
class OneContext:
    """Gives every connection the same TLS context."""

    context: ssl.SSLContext

    async def current(self) -> ssl.SSLContext:
        self.context.sslsocket_class = TlsSocket
        return self.context
