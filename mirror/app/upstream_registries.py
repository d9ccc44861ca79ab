"""Remote registries: configured upstreams, and hosts that a reference names."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

from mirror.settings import Settings
from mirror.settings.server.listen_address import HostPort
from mirror.settings.upstream_settings import CredentialSettings, UpstreamSettings
from mirror.store.content.folder_access import can_write
from mirror.upstream.auth.login_files import FileLogin, LoginSource
from mirror.upstream.http.http_proxies import Proxies
from mirror.upstream.http.tls_context import Tls
from mirror.upstream.limits.bandwidth import BandwidthWindow
from mirror.upstream.limits.circuit_breaker import BreakerThresholds
from mirror.upstream.limits.upstream_policy import ListBounds, Timeouts, UpstreamLimits, UpstreamPolicy
from mirror.upstream.registry import UpstreamRegistry
from mirror.upstream.short_name_registry import ShortNameRegistry
from mirror.wire.registry_url import RegistryUrl


@asynccontextmanager
async def open_upstream(settings: Settings, name: str) -> AsyncIterator[UpstreamRegistry]:
    """Open the upstream with this name, as configured."""
    section = settings.upstreams[name]
    async with registry_class(section.url, short_names=section.short_names).open(
        name=name,
        url=section.url,
        plain_http=section.plain_http,
        login=_login(section),
        tls=Tls(
            section.tls.ca_file,
            section.tls.certificate_file,
            section.tls.key_file,
            ca_setting=f"upstreams.{name}.tls.ca_file",
        ),
        proxies=Proxies(section.proxy, os.environ),
        policy=_policy(settings, section),
    ) as registry:
        yield registry


@asynccontextmanager
async def open_remote(
    settings: Settings,
    host: str,
    *,
    plain_http: bool = False,
    login: LoginSource | None = None,
    login_advice: str = "",
) -> AsyncIterator[UpstreamRegistry]:
    """Open another registry for reading and writing.

    The registry uses the settings of the upstream with the same host, if there is one.

    Args:
        settings: upstreams under ``upstreams``.
        host: ``HOST[:PORT]``.
        plain_http: see :func:`open_anonymously`.
        login: login at a host that is no upstream; None for no login.
        login_advice: how to give such a login, for errors; empty if it must become an upstream for that.
    """
    # The host of a configured upstream gets the credentials, limits and TLS settings of its section.
    names = [name for name, section in settings.upstreams.items() if RegistryUrl.parse(section.url).is_at(host)]
    opened = (
        open_upstream(settings, names[0])
        if names
        else open_anonymously(host, plain_http=plain_http, login=login, login_advice=login_advice)
    )
    async with opened as registry:
        yield registry


@asynccontextmanager
async def open_anonymously(
    host: str, *, plain_http: bool = False, login: LoginSource | None = None, login_advice: str = ""
) -> AsyncIterator[UpstreamRegistry]:
    """Open the registry at a host, without a login unless one is given.

    Args:
        host: ``HOST[:PORT]``.
        plain_http: True to use ``http://``. Loopback hosts always use ``http://``, as with engines.
        login: the login.
        login_advice: see :func:`open_remote`.
    """
    # HostPort needs a port. An IPv6 address holds colons itself, so only text after its bracket is looked at.
    plain = plain_http or HostPort.parse(host if ":" in host.rpartition("]")[2] else f"{host}:80").is_loopback
    url = f"{'http' if plain else 'https'}://{host}"
    async with registry_class(url).open(
        name=host,
        url=url,
        plain_http=plain,
        login=login,
        login_advice=login_advice or f"configure an upstream with the url {url} and credentials",
        proxies=Proxies(environment=os.environ),
    ) as registry:
        yield registry


def registry_class(url: str, *, short_names: bool | None = None) -> type[UpstreamRegistry]:
    """Return the class for a registry: with short names if ``short_names``, or if None, for Docker Hub.

    Raises:
        ConfigurationFault: the URL is invalid.
    """
    short = RegistryUrl.parse(url).is_docker_hub if short_names is None else short_names
    return ShortNameRegistry if short else UpstreamRegistry


def _login(section: UpstreamSettings) -> LoginSource | None:
    match section.credentials:
        case CredentialSettings(docker_config=path) if path is not None:
            return FileLogin.docker(path, RegistryUrl.parse(section.url).place)
        case CredentialSettings(username=username, password_file=path) if username is not None and path is not None:
            return FileLogin.password(username, path)
        case _:
            return None


def _policy(settings: Settings, section: UpstreamSettings) -> UpstreamPolicy:
    limits, breaker = section.limits, section.breaker
    offline = settings.offline or section.offline
    return UpstreamPolicy(
        timeouts=Timeouts(section.connect_timeout_seconds, section.read_timeout_seconds),
        thresholds=BreakerThresholds(breaker.failures, breaker.rest_seconds, breaker.longest_rest_seconds),
        limits=UpstreamLimits(
            connections=limits.connections,
            requests_per_second=limits.requests_per_second,
            bandwidth=tuple(
                BandwidthWindow(window.bytes_per_second, window.start or time(), window.stop or time())
                for window in limits.bandwidth
            ),
            zone=ZoneInfo(limits.time_zone),
            shared_folder=None if settings.offline else _shared_limits(settings.storage.path),
        ),
        lists=ListBounds.of(limits.list_entries),
        offline=offline,
    )


def _shared_limits(data: Path) -> Path | None:
    """Return the folder of the limits that all processes on a data folder share; None for limits of this process.

    A dry run may find no data folder, or one that it cannot write to, and must not create it.
    """
    return data / "limits" if data.exists() and can_write(data) else None
