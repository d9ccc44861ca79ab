"""Limits of the HTTP server for its clients."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Ceilings of the HTTP server. Manifests have theirs in :data:`mirror.oci.manifest.MAX_MANIFEST_BYTES`.

    Attributes:
        blob_bytes: largest blob taken from a client, in bytes.
        header_bytes: longest request line and longest single header, in bytes.
        headers: most headers in a request.
        idle_seconds: longest silence of a client while its body is awaited, or while it does not take its answer.
        keep_alive_seconds: longest silence between two requests, and longest time that a request's headers may take.
        uploads_per_client: most requests of one client's address that send content at a time, in each process.
        connections_per_client: most connections of one client at a time, in each process; behind a proxy, requests.
        connections: most connections at a time, in each process.
        least_body_bytes_per_second: bodies that come more slowly over a minute are ended where others wait for a place;
            0: none are.
        shutdown_seconds: how long transfers under way may still take when the server stops.
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
