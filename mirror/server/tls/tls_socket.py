"""The socket of a connection with TLS."""

from __future__ import annotations

import ssl


class TlsSocket(ssl.SSLSocket):
    """A socket that keeps TLS after :meth:`shutdown`, so that a pending write fails instead of going in clear."""

    def shutdown(self, how: int) -> None:
        """End the connection below TLS in one or both directions."""
        super(ssl.SSLSocket, self).shutdown(how)
