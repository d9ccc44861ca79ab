"""The sections of the configuration. Each key has a description, which ``plugin-mirror config schema`` prints."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mirror.access.rights import AccessAction
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS, LayerLimits
from mirror.server.http.server_limits import ServerLimits
from mirror.settings.access_settings import AccessSettings, check_anonymous, parse_actions
from mirror.settings.admission_settings import AdmissionSettings
from mirror.settings.bundle_settings import BundleSettings
from mirror.settings.listen_address import HostPort
from mirror.settings.mirror_settings import MirrorSettings
from mirror.settings.platform_tag_settings import PlatformTagSettings
from mirror.settings.pull_through_settings import ProxySettings, PullThroughSettings, check_pattern
from mirror.settings.section import Section
from mirror.settings.server_addresses import ListenAddress, ProxyNetwork, PublicUrl
from mirror.settings.storage.quota_settings import QuotaSettings
from mirror.settings.storage.repository_settings import RepositorySettings
from mirror.settings.storage.storage_settings import StorageSettings
from mirror.settings.upstream_settings import UpstreamSettings
from mirror.store.uploads.session_limits import SessionLimits

#: The classes that enforce the limits own the defaults, so that both cannot differ.
_LIMITS, _SESSIONS = ServerLimits(), SessionLimits()


class ServerLimitSettings(Section):
    """Limits for clients, and for the layers of plugins. Manifests may always have 4 MiB."""

    blob_bytes: int = Field(_LIMITS.blob_bytes, gt=0, description="largest blob that is accepted, in bytes")
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
        description="most uploads that one address sends to one worker at the same time; further ones get 429. "
        "Behind a proxy or NAT all hosts share one address, and an engine sends up to 5 uploads",
    )
    upload_sessions_per_client: int = Field(
        _SESSIONS.per_client,
        ge=1,
        description="most open upload sessions of one client, over all workers; further ones get 429 until one ends or "
        "expires. Sessions outlive connections, so allow for those of clients that have died",
    )
    upload_sessions: int = Field(
        _SESSIONS.in_all,
        ge=1,
        description="most open upload sessions of all clients together; each takes a folder and two files",
    )
    connections_per_client: int = Field(
        _LIMITS.connections_per_client,
        ge=1,
        description="most connections of one address (IPv6: one /64) to one worker; further ones get 429. All hosts "
        "behind a NAT share one address. Behind a trusted proxy, requests in progress are counted instead, for each "
        "address in X-Forwarded-For",
    )
    connections: int = Field(
        _LIMITS.connections,
        ge=1,
        description="most connections to one worker; further ones get 503",
    )
    unpacked_layer_bytes: int = Field(
        DEFAULT_LIMITS.layer_bytes,
        gt=0,
        description="largest unpacked size of one layer of a plugin, pushed or mirrored, in bytes",
    )
    unpacked_plugin_bytes: int = Field(
        DEFAULT_LIMITS.plugin_bytes,
        gt=0,
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


class ServerSettings(Section):
    """Settings of the HTTP server."""

    listen: ListenAddress = Field(HostPort("127.0.0.1", 5000), description="address to listen on, as HOST:PORT")
    workers: int = Field(1, ge=1, le=256, description="number of processes that serve the port")
    anonymous: Annotated[
        tuple[AccessAction, ...] | None, BeforeValidator(parse_actions), AfterValidator(check_anonymous)
    ] = Field(
        None,
        description="actions of callers without credentials: pull, push, delete. "
        "Omitted: pull and push on a loopback address; required for any other address",
    )
    plugin_checks: Literal["enforce", "warn", "off"] = Field(
        "enforce",
        description="treatment of plugins, pushed or mirrored, that engines cannot install. "
        "enforce: refuse them; warn: accept them with a Warning header; off: do not check",
    )
    read_only: bool = Field(
        default=False,
        description="true: serve what the data folder holds and change nothing, for a snapshot or a read-only mount. "
        "Pushes and deletions get 405, no upstream is asked, and no mirror rule runs",
    )
    shutdown_seconds: float = Field(30, ge=0, description="time that transfers have to finish at shutdown, in seconds")
    limits: ServerLimitSettings = Field(ServerLimitSettings(), description="limits for clients and layers")
    namespaces: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.:\[\]-]{1,255}$")], ...] = Field(
        (),
        description="registries that this server mirrors, such as docker.io. A request that names another one "
        "(?ns=, OCI-Namespace) gets 404. Omitted: every name is accepted",
    )
    reserved: tuple[Annotated[str, AfterValidator(check_pattern)], ...] = Field(
        (), description="names, with * and **, that are never requested from an upstream, such as acme/**"
    )

    logins: bool = Field(
        default=True,
        description="true: users may log in, if there are any. false: all callers are anonymous, which suits a mirror "
        "of docker.io whose hosts are logged in at Docker Hub",
    )
    url: PublicUrl | None = Field(
        None,
        description="URL of the server for clients, such as https://mirror.example or https://example.org/mirror; "
        "omitted: the host of each request",
    )
    trusted_proxies: tuple[ProxyNetwork, ...] = Field(
        (),
        description="addresses and networks of the proxies in front of the server, such as 10.1.2.3 or 10.0.0.0/8. "
        "X-Forwarded-For, -Proto, -Host and -Prefix are believed if they come from there, and ignored otherwise",
    )
    behind_proxy: bool = Field(
        default=False,
        description="deprecated, use trusted_proxies. true: every address counts as a trusted proxy",
    )

    @model_validator(mode="after")
    def _say_who_may_push(self) -> Self:
        # A plugin runs as root on every host that installs it, so whoever can push could take over the site. The
        # server refuses to start instead of logging a warning that nobody reads (ADR 5).
        if self.anonymous is None and not self.listen.is_loopback:
            raise ValueError(
                f"{self.listen} can be reached from other hosts, and server.anonymous does not say what anonymous "
                "callers may do; fix: write 'anonymous: [pull]' under server: to let everybody install, "
                "or 'anonymous: [pull, push]' to let everybody push as well"
            )
        return self

    @model_validator(mode="after")
    def _say_once_who_is_a_proxy(self) -> Self:
        if self.behind_proxy and self.trusted_proxies:
            raise ValueError(
                "behind_proxy: true trusts every address, so trusted_proxies has no effect; fix: remove behind_proxy"
            )
        return self

    @property
    def anonymous_actions(self) -> frozenset[AccessAction]:
        """The actions that callers without credentials may perform."""
        return frozenset((AccessAction.PULL, AccessAction.PUSH) if self.anonymous is None else self.anonymous)


class LogSettings(Section):
    """Settings of the log, which goes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lowest level that is logged: debug, info, warning or error"
    )
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="format of log lines; auto: console on a terminal, otherwise json"
    )


class Settings(Section):
    """The whole configuration."""

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    log: LogSettings = LogSettings()
    offline: bool = Field(default=False, description="true: never open a connection to any upstream")
    # The name is the first component of from, and part of file names in the folder limits (ADR 7).
    upstreams: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")], UpstreamSettings] = Field(
        default_factory=dict, description="registries that content is fetched from, by name"
    )
    mirrors: tuple[MirrorSettings, ...] = ()
    proxy: tuple[ProxySettings, ...] = Field(
        (), description="repositories that are fetched on first pull; matching upstreams are asked in this order"
    )
    pull_through: PullThroughSettings = PullThroughSettings()
    repositories: tuple[RepositorySettings, ...] = Field(
        (), description="retention of pushed tags, and immutable tags, by repository"
    )
    access: tuple[AccessSettings, ...] = Field(
        (), description="rights of users, in addition to those of anonymous callers; one matching rule is enough"
    )
    quotas: tuple[QuotaSettings, ...] = Field(
        (), description="limits on the content of repositories and of users; a push must fit in each one that covers it"
    )
    platform_tags: tuple[PlatformTagSettings, ...] = Field(
        (),
        description="tags that give each engine the plugin for its platform; the first rule that covers a tag decides",
    )
    admission: AdmissionSettings = AdmissionSettings()
    bundles: BundleSettings = BundleSettings()

    @model_validator(mode="after")
    def _rules_make_sense(self) -> Self:
        names = [rule.name for rule in self.mirrors]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"mirrors: the name {min(twice)!r} is given to more than one rule")
        quotas = [section.quota().name for section in self.quotas]
        if twice := {name for name in quotas if quotas.count(name) > 1}:
            raise ValueError(f"quotas: there is more than one for {min(twice)}")
        # A name without an upstream is reported at start, not when a tag is first asked for.
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

    def advice(self) -> list[str]:
        """Return sentences about settings that work, and should be changed all the same."""
        forged = "any client that reaches the server directly could forge its address"
        if self.server.behind_proxy:
            return [
                f"server.behind_proxy is deprecated: {forged}; fix: list the addresses of the proxies under "
                "server.trusted_proxies, and remove behind_proxy"
            ]
        return [
            f"server.trusted_proxies has {network}, which is every address: {forged}; fix: list those of the proxies"
            for network in self.server.trusted_proxies
            if network.prefixlen == 0
        ]

    def shown(self) -> dict[str, Any]:
        """Return the effective settings as plain values, with the keys of the configuration file."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
