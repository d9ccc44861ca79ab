"""The sections of the configuration. Every key is documented here; ``plugin-mirror config schema`` prints it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from mirror.access.rights import AccessAction
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS, LayerLimits
from mirror.server.http.server_limits import ServerLimits
from mirror.settings.access_settings import AccessSettings, check_anonymous, parse_actions
from mirror.settings.admission_settings import AdmissionSettings
from mirror.settings.listen_address import HostPort
from mirror.settings.mirror_settings import MirrorSettings
from mirror.settings.platform_tag_settings import PlatformTagSettings
from mirror.settings.pull_through_settings import ProxySettings, PullThroughSettings, check_pattern
from mirror.settings.section import Section
from mirror.settings.upstream_settings import UpstreamSettings
from mirror.store.uploads.session_limits import SessionLimits

_URL = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def _parse_listen(value: object) -> object:
    return HostPort.parse(value) if isinstance(value, str) else value


def _check_url(url: str) -> str:
    if _URL.fullmatch(url) is None:
        raise ValueError("it is not SCHEME://HOST[:PORT] without anything behind, such as https://plugins.example")
    return url


ListenAddress = Annotated[
    HostPort,
    BeforeValidator(_parse_listen, json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
]


_LIMITS, _SESSIONS = ServerLimits(), SessionLimits()


class ServerLimitSettings(Section):
    """What clients may ask of the server, and layers of the program, at most. Manifests may always have 4 MiB."""

    blob_bytes: int = Field(_LIMITS.blob_bytes, gt=0, description="largest blob that is taken, in bytes")
    header_bytes: int = Field(
        _LIMITS.header_bytes, ge=1024, le=1024 * 1024, description="longest request line and header, in bytes"
    )
    headers: int = Field(_LIMITS.headers, ge=16, le=4096, description="most headers of a request")
    idle_seconds: float = Field(
        _LIMITS.idle_seconds,
        gt=0,
        le=86400,
        description="longest silence within a body, or while an answer is not taken",
    )
    keep_alive_seconds: float = Field(
        _LIMITS.keep_alive_seconds,
        gt=0,
        le=86400,
        description="longest silence between two requests, and longest time that a request's headers may take",
    )
    uploads_per_client: int = Field(
        _LIMITS.uploads_per_client,
        ge=1,
        description="most uploads that one address sends at a time to a worker; further ones are answered 429. "
        "Behind a proxy or NAT all hosts have one address, and an engine sends up to 5",
    )
    upload_sessions_per_client: int = Field(
        _SESSIONS.per_client,
        ge=1,
        description="most uploads that one client has begun and not ended, over all workers; further ones are answered "
        "429 until one ends or expires. They last longer than connections: count those of clients that died as well",
    )
    upload_sessions: int = Field(
        _SESSIONS.in_all, ge=1, description="the same of all clients together; each takes a folder and two files"
    )
    connections_per_client: int = Field(
        _LIMITS.connections_per_client,
        ge=1,
        description="most connections that one address, of IPv6 one /64, has with a worker; further ones are answered "
        "429. All hosts behind a NAT are one address. With behind_proxy the requests under way are counted instead, "
        "of each address in X-Forwarded-For",
    )
    connections: int = Field(
        _LIMITS.connections,
        ge=1,
        description="most connections of a worker; further ones are answered 503",
    )
    unpacked_layer_bytes: int = Field(
        DEFAULT_LIMITS.layer_bytes,
        gt=0,
        description="most that a layer of a plugin, pushed or mirrored, may unpack to, in bytes",
    )
    unpacked_plugin_bytes: int = Field(
        DEFAULT_LIMITS.plugin_bytes, gt=0, description="most that all layers of a plugin may unpack to, in bytes"
    )
    unpacked_ratio: int = Field(
        DEFAULT_LIMITS.ratio,
        ge=1,
        le=1100,
        description="how many times its size a layer of a plugin may unpack to, beyond its first 128 MiB. Real ones "
        "unpack to 2 to 10 times their size, and gzip can do 1032",
    )
    least_body_bytes_per_second: float = Field(
        _LIMITS.least_body_bytes_per_second,
        ge=0,
        description="bodies that come more slowly over a minute are ended with 408 while connections or uploads, "
        "in all or of that client, are nearly as many as there may be; else a slow line is left alone. 0: always",
    )

    def of_clients(self) -> dict[str, Any]:
        """What holds for requests, by the names of :class:`ServerLimits`."""
        return self.model_dump(include={field.name for field in fields(ServerLimits)})

    def of_sessions(self) -> SessionLimits:
        """What holds for uploads that are open."""
        return SessionLimits(self.upload_sessions_per_client, self.upload_sessions)

    def of_layers(self) -> LayerLimits:
        """What holds for layers."""
        return LayerLimits(
            layer_bytes=self.unpacked_layer_bytes, plugin_bytes=self.unpacked_plugin_bytes, ratio=self.unpacked_ratio
        )


class ServerSettings(Section):
    """How the registry is served."""

    listen: ListenAddress = Field(HostPort("127.0.0.1", 5000), description="HOST:PORT to listen on")
    workers: int = Field(1, ge=1, le=256, description="processes that serve the port")
    anonymous: Annotated[
        tuple[AccessAction, ...] | None, BeforeValidator(parse_actions), AfterValidator(check_anonymous)
    ] = Field(
        None,
        description="what callers without credentials may do: pull, push, delete. "
        "Unset: pull and push on a loopback address; on any other it must be written down",
    )
    plugin_checks: Literal["enforce", "warn", "off"] = Field(
        "enforce",
        description="plugins that engines cannot install, pushed or mirrored: "
        "enforce: refuse them; warn: accept them with a Warning; off: do not look",
    )
    shutdown_seconds: float = Field(30, ge=0, description="how long transfers may take to finish at shutdown")
    limits: ServerLimitSettings = Field(ServerLimitSettings(), description="what clients may ask, at most")
    namespaces: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.:\[\]-]{1,255}$")], ...] = Field(
        (),
        description="registries that this is a mirror of, such as docker.io: where a client says which one it means "
        "(?ns=, OCI-Namespace), any other is answered 404. Unset: whatever it says",
    )
    reserved: tuple[Annotated[str, AfterValidator(check_pattern)], ...] = Field(
        (), description="names, with * and **, that are never looked for at an upstream, such as acme/**"
    )

    logins: bool = Field(
        default=True,
        description="whether users may log in, once there are any. "
        "Without, all callers are anonymous: for a mirror of docker.io whose hosts are logged in at Docker Hub",
    )
    url: Annotated[str, AfterValidator(_check_url)] | None = Field(
        None,
        description="where clients reach the server, such as https://mirror.example; omitted: where each request went",
    )
    behind_proxy: bool = Field(
        default=False,
        description="whether a proxy stands in front of the server and sets X-Forwarded-Proto and X-Forwarded-For, "
        "which are believed then",
    )

    @model_validator(mode="after")
    def _say_who_may_push(self) -> Self:
        if self.anonymous is None and not self.listen.is_loopback:
            raise ValueError(
                f"{self.listen} can be reached from other hosts, and nobody has said what anonymous callers may do: "
                "write 'anonymous: [pull]' under server: to let everybody install, "
                "or 'anonymous: [pull, push]' to let everybody push as well"
            )
        return self

    @property
    def anonymous_actions(self) -> frozenset[AccessAction]:
        """What callers without credentials may do."""
        return frozenset((AccessAction.PULL, AccessAction.PUSH) if self.anonymous is None else self.anonymous)


class StorageSettings(Section):
    """Where content is kept."""

    path: Path = Field(Path("data"), description="folder of blobs and catalog, made where absent")
    upload_expiry_hours: float = Field(24, gt=0, description="age at which an idle upload is dropped")
    empty_upload_expiry_minutes: float = Field(
        60, gt=0, description="age at which an upload is dropped that nothing was sent to"
    )
    least_free_bytes: int = Field(
        64 * 1024 * 1024, ge=0, description="free space below which /readyz says that the server is not ready"
    )


class LogSettings(Section):
    """What is logged to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error")
    format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal, else json")


class Settings(Section):
    """The whole configuration."""

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    log: LogSettings = LogSettings()
    offline: bool = Field(default=False, description="never open a connection to any upstream")
    upstreams: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")], UpstreamSettings] = Field(
        default_factory=dict, description="registries that content is taken from, by name"
    )
    mirrors: tuple[MirrorSettings, ...] = ()
    proxy: tuple[ProxySettings, ...] = Field(
        (), description="names fetched on first pull; the first match is asked first"
    )
    pull_through: PullThroughSettings = PullThroughSettings()
    access: tuple[AccessSettings, ...] = Field(
        (), description="what users may do, beside what anonymous callers may: what any of these allows"
    )
    platform_tags: tuple[PlatformTagSettings, ...] = Field(
        (), description="tags that give each engine the plugin for its platform; the first that covers a tag decides"
    )
    admission: AdmissionSettings = AdmissionSettings()

    @model_validator(mode="after")
    def _rules_make_sense(self) -> Self:
        names = [rule.name for rule in self.mirrors]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"mirrors: the name {min(twice)!r} is given to more than one rule")
        for where, source in self._sources():
            upstream, slash, repository = source.partition("/")
            if not slash or not repository:
                raise ValueError(f"{where}: from: {source!r} is not UPSTREAM/REPOSITORY")
            if upstream not in self.upstreams:
                known = ", ".join(sorted(self.upstreams)) or "none"
                raise ValueError(f"{where}: from: no upstream is named {upstream!r} (upstreams: {known})")
        return self

    def _sources(self) -> list[tuple[str, str]]:
        rules: list[tuple[str, str]] = [(f"mirrors: {rule.name}", rule.source) for rule in self.mirrors]
        return rules + [(f"proxy: rule {number}", rule.source) for number, rule in enumerate(self.proxy, 1)]

    def shown(self) -> dict[str, Any]:
        """The effective settings as plain values, with the keys of the file."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
