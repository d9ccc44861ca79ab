"""The section ``server.limits``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pydantic import Field

from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS, LayerLimits
from mirror.server.http.server_limits import ServerLimits
from mirror.settings.section import Section
from mirror.settings.section_values import MOST_BYTES, MOST_COUNT
from mirror.store.uploads.session_limits import SessionLimits

#: The classes that enforce the limits own the defaults, so that both cannot differ.
_LIMITS, _SESSIONS = ServerLimits(), SessionLimits()


class ServerLimitSettings(Section):
    """Limits for clients, and for the layers of plugins. Manifests may always have 4 MiB."""

    blob_bytes: int = Field(
        _LIMITS.blob_bytes, gt=0, le=MOST_BYTES, description="largest blob that is accepted, in bytes"
    )
    header_bytes: int = Field(
        _LIMITS.header_bytes,
        ge=1024,
        le=1024 * 1024,
        description="longest request line, and longest single header, in bytes",
    )
    headers: int = Field(_LIMITS.headers, ge=16, le=4096, description="most headers in a request")
    idle_seconds: float = Field(
        _LIMITS.idle_seconds,
        gt=0,
        le=86400,
        description="longest pause within a request body, or while the client does not read the response, in seconds",
    )
    keep_alive_seconds: float = Field(
        _LIMITS.keep_alive_seconds,
        gt=0,
        le=86400,
        description="longest pause between two requests, and longest time for the headers of a request, in seconds",
    )
    uploads_per_client: int = Field(
        _LIMITS.uploads_per_client,
        ge=1,
        le=MOST_COUNT,
        description="most uploads that one address sends to one worker at the same time; further ones get 429. "
        "Behind a proxy or NAT all hosts share one address, and an engine sends up to 5 uploads",
    )
    upload_sessions_per_client: int = Field(
        _SESSIONS.per_client,
        ge=1,
        le=MOST_COUNT,
        description="most open upload sessions of one client, over all workers; further ones get 429 until one ends or "
        "expires. Sessions outlive connections, so allow for those of clients that have died",
    )
    upload_sessions: int = Field(
        _SESSIONS.in_all,
        ge=1,
        le=MOST_COUNT,
        description="most open upload sessions of all clients together; each takes a folder and two files",
    )
    connections_per_client: int = Field(
        _LIMITS.connections_per_client,
        ge=1,
        le=MOST_COUNT,
        description="most connections of one address (IPv6: one /64) to one worker; further ones get 429. All hosts "
        "behind a NAT share one address. Behind a trusted proxy, requests in progress are counted instead, for each "
        "address in X-Forwarded-For",
    )
    connections: int = Field(
        _LIMITS.connections,
        ge=1,
        le=MOST_COUNT,
        description="most connections to one worker; further ones get 503",
    )
    unpacked_layer_bytes: int = Field(
        DEFAULT_LIMITS.layer_bytes,
        gt=0,
        le=MOST_BYTES,
        description="largest unpacked size of one layer of a plugin, pushed or mirrored, in bytes",
    )
    unpacked_plugin_bytes: int = Field(
        DEFAULT_LIMITS.plugin_bytes,
        gt=0,
        le=MOST_BYTES,
        description="largest unpacked size of all layers of a plugin together, in bytes",
    )
    unpacked_ratio: int = Field(
        DEFAULT_LIMITS.ratio,
        ge=1,
        le=1100,
        description="largest ratio of unpacked to packed size of a layer of a plugin, beyond its first 128 MiB. Real "
        "layers have a ratio of 2 to 10, and gzip can reach 1032",
    )
    least_body_bytes_per_second: float = Field(
        _LIMITS.least_body_bytes_per_second,
        ge=0,
        le=MOST_BYTES,
        description="lowest rate of a request body over a minute. A slower one is ended with 408 while connections or "
        "uploads, in total or of its client, are close to their limit; otherwise it may continue. 0: no lowest rate",
    )

    def of_clients(self) -> dict[str, Any]:
        """Return the limits for requests, by the field names of :class:`ServerLimits`."""
        return self.model_dump(include={field.name for field in fields(ServerLimits)})

    def of_sessions(self) -> SessionLimits:
        """Return the limits for open upload sessions."""
        return SessionLimits(self.upload_sessions_per_client, self.upload_sessions)

    def of_layers(self) -> LayerLimits:
        """Return the limits for the layers of a plugin."""
        return LayerLimits(
            layer_bytes=self.unpacked_layer_bytes, plugin_bytes=self.unpacked_plugin_bytes, ratio=self.unpacked_ratio
        )
