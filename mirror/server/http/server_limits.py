"""Limits of the HTTP server for its clients."""

from __future__ import annotations

from dataclasses import dataclass


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
    least_body_bytes_per_second: float = 1024.0
    shutdown_seconds: float = 30.0
