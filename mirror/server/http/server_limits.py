"""Limits of the HTTP server for its clients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

#: File descriptors of a process without any connection: the listener, the catalog, logs and locks.
OWN_DESCRIPTORS: Final = 40
#: File descriptors of a connection: its socket, and the file of the blob that is sent or received.
_DESCRIPTORS_OF_A_CONNECTION: Final = 2
#: Largest share of the descriptors for connections that only get an error answer.
_SURPLUS_SHARE: Final = 1 / 8


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits of the HTTP server. The limit for manifests is :data:`mirror.oci.manifest.MAX_MANIFEST_BYTES`.

    Attributes:
        blob_bytes: largest blob accepted from a client, in bytes.
        header_bytes: longest request line and longest single header, in bytes.
        headers: most headers in a request.
        idle_seconds: longest time in which a client sends nothing of its body, or takes nothing of its answer. A client
            that was steady before may rest longer (:mod:`mirror.server.http.answer_watch`).
        keep_alive_seconds: longest pause between two requests, and longest time for the headers of a request.
        uploads_per_client: most requests with content per client address at a time, in each process.
        connections_per_client: most connections per client at a time, in each process; behind a proxy, most requests.
        connections: most connections at a time, in each process.
        surplus_connections: most connections beyond ``connections`` that get an error answer. Further ones are aborted.
        least_body_bytes_per_second: bodies slower than this over a minute, and answers taken more slowly, are ended if
            others wait; 0 ends none.
        shutdown_seconds: how long transfers under way may continue when the server stops.
    """

    blob_bytes: int = 256 * 1024**3
    header_bytes: int = 16 * 1024
    headers: int = 128
    idle_seconds: float = 60.0
    keep_alive_seconds: float = 75.0
    uploads_per_client: int = 256
    connections_per_client: int = 512
    connections: int = 2048
    surplus_connections: int = 128
    least_body_bytes_per_second: float = 1024.0
    shutdown_seconds: float = 30.0

    def within(self, descriptors: int) -> ServerLimits:
        """Return the limits with at most as many connections as a limit of open files allows.

        Args:
            descriptors: the limit of open files of the process, without those that other parts of it need.
        """
        available = max(descriptors - OWN_DESCRIPTORS, 0)
        surplus = min(self.surplus_connections, max(int(available * _SURPLUS_SHARE), 1))
        connections = max((available - surplus) // _DESCRIPTORS_OF_A_CONNECTION, 1)
        return replace(self, connections=min(self.connections, connections), surplus_connections=surplus)
