"""Upstreams as the settings describe them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import time
from zoneinfo import ZoneInfo

from yarl import URL

from mirror.settings import Settings
from mirror.settings.upstreams import CredentialSettings, UpstreamSettings
from mirror.upstream.bandwidth import Window
from mirror.upstream.breaker import Thresholds
from mirror.upstream.logins import FileLogin, LoginSource
from mirror.upstream.proxies import Proxies
from mirror.upstream.registry import UpstreamRegistry
from mirror.upstream.terms import Limits, ListBounds, Terms, Timeouts
from mirror.upstream.tls import Tls


@asynccontextmanager
async def open_sources(settings: Settings, names: Iterable[str]) -> AsyncIterator[dict[str, UpstreamRegistry]]:
    """The upstreams of those names, open, by name."""
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(open_upstream(settings, name)) for name in sorted(set(names))}


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
        terms=_terms(settings, section),
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


def _terms(settings: Settings, section: UpstreamSettings) -> Terms:
    limits, breaker = section.limits, section.breaker
    return Terms(
        timeouts=Timeouts(section.connect_timeout_seconds, section.read_timeout_seconds),
        thresholds=Thresholds(breaker.failures, breaker.rest_seconds, breaker.longest_rest_seconds),
        limits=Limits(
            connections=limits.connections,
            requests_per_second=limits.requests_per_second,
            bandwidth=tuple(
                Window(window.bytes_per_second, window.start or time(), window.stop or time())
                for window in limits.bandwidth
            ),
            zone=ZoneInfo(limits.time_zone),
            shared_folder=settings.storage.path.expanduser() / "limits",
        ),
        lists=ListBounds.of(limits.list_entries),
        offline=settings.offline or section.offline,
    )
