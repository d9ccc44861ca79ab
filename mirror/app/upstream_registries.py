"""Other registries: upstreams as the settings describe them, and hosts that a reference names."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import time
from zoneinfo import ZoneInfo

from yarl import URL

from mirror.settings import Settings
from mirror.settings.listen_address import HostPort
from mirror.settings.upstream_settings import CredentialSettings, UpstreamSettings
from mirror.upstream.auth.login_files import FileLogin, LoginSource
from mirror.upstream.http.http_proxies import Proxies
from mirror.upstream.http.tls_context import Tls
from mirror.upstream.limits.bandwidth import BandwidthWindow
from mirror.upstream.limits.circuit_breaker import BreakerThresholds
from mirror.upstream.limits.upstream_policy import ListBounds, Timeouts, UpstreamLimits, UpstreamPolicy
from mirror.upstream.registry import UpstreamRegistry


@asynccontextmanager
async def open_upstream(settings: Settings, name: str) -> AsyncIterator[UpstreamRegistry]:
    """The upstream of that name, as its section has it."""
    section = settings.upstreams[name]
    async with UpstreamRegistry.open(
        name=name,
        url=section.url,
        plain_http=section.plain_http,
        login=_login(section),
        tls=Tls(section.tls.ca_file, section.tls.certificate_file, section.tls.key_file),
        proxies=Proxies(section.proxy, os.environ),
        policy=_policy(settings, section),
    ) as registry:
        yield registry


@asynccontextmanager
async def open_remote(settings: Settings, host: str, *, plain_http: bool = False) -> AsyncIterator[UpstreamRegistry]:
    """Another registry, to read and to write: as its section has it where one has that host, else without a login.

    Args:
        settings: sections under ``upstreams``.
        host: ``HOST[:PORT]``.
        plain_http: as for :func:`open_anonymously`.
    """
    names = [name for name, section in settings.upstreams.items() if URL(section.url).authority == host]
    opened = open_upstream(settings, names[0]) if names else open_anonymously(host, plain_http=plain_http)
    async with opened as registry:
        yield registry


@asynccontextmanager
async def open_anonymously(host: str, *, plain_http: bool = False) -> AsyncIterator[UpstreamRegistry]:
    """The registry at a host, without a login.

    Args:
        host: ``HOST[:PORT]``.
        plain_http: whether ``http://`` is meant; for loopback hosts it always is, as for engines.
    """
    plain = plain_http or HostPort.parse(host if ":" in host.rpartition("]")[2] else f"{host}:80").is_loopback
    url = f"{'http' if plain else 'https'}://{host}"
    async with UpstreamRegistry.open(
        name=host, url=url, plain_http=plain, proxies=Proxies(environment=os.environ)
    ) as registry:
        yield registry


def _login(section: UpstreamSettings) -> LoginSource | None:
    match section.credentials:
        case CredentialSettings(docker_config=path) if path is not None:
            return FileLogin.docker(path, URL(section.url).authority)
        case CredentialSettings(username=username, password_file=path) if username is not None and path is not None:
            return FileLogin.password(username, path)
        case _:
            return None


def _policy(settings: Settings, section: UpstreamSettings) -> UpstreamPolicy:
    limits, breaker = section.limits, section.breaker
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
            shared_folder=settings.storage.path.expanduser() / "limits",
        ),
        lists=ListBounds.of(limits.list_entries),
        offline=settings.offline or section.offline,
    )
