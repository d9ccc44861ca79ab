"""Connections to the hosts of one upstream: through a proxy or directly, and never to forbidden addresses."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from mirror import __version__
from mirror.runtime.clock import Clock, SystemClock
from mirror.runtime.files.reloading_file import ReloadingFile
from mirror.upstream.http import socks
from mirror.upstream.http.forbidden_destinations import DestinationGuard
from mirror.upstream.http.http_proxies import SOCKS, Proxies
from mirror.upstream.http.response_guard import guarded
from mirror.upstream.http.tls_context import Tls
from mirror.upstream.limits.upstream_policy import Timeouts

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

Data = bytes | BytesIO | AsyncIterable[bytes] | None

_SYSTEM_CLOCK = SystemClock()
_READ_BUFFER_BYTES = 256 * 1024
_HEADERS = {"User-Agent": f"docker-plugin-mirror/{__version__}", "Accept-Encoding": "identity"}


class UpstreamConnections:
    """Connections of one upstream. Created by :meth:`open`, which closes them on exit."""

    def __init__(
        self,
        stack: AsyncExitStack,
        *,
        timeouts: Timeouts,
        guard: DestinationGuard,
        proxies: Proxies,
        tls: Tls,
        clock: Clock,
        resolver: AbstractResolver | None,
    ) -> None:
        self._stack = stack
        self._timeouts = timeouts
        self._guard = guard
        self._proxies = proxies
        self._tls = tls
        self._clock = clock
        self._contexts: dict[bool, ReloadingFile[ssl.SSLContext]] = {}
        self._resolver = resolver
        self._clients: dict[str, aiohttp.ClientSession] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        timeouts: Timeouts,
        guard: DestinationGuard,
        proxies: Proxies,
        tls: Tls,
        clock: Clock = _SYSTEM_CLOCK,
        resolver: AbstractResolver | None = None,
    ) -> AsyncIterator[UpstreamConnections]:
        """Open the connection pool. No connection is made yet.

        Args:
            timeouts: deadlines.
            guard: forbidden destinations.
            proxies: proxies for the requests.
            tls: certificates. New connections use new files after a change.
            clock: determines when to check the files again.
            resolver: resolves host names; None: the system's resolver.

        Raises:
            ConfigurationFault: a certificate or a proxy is unusable.
        """
        for scheme in ("https", "http"):  # report invalid settings now and not at the first request
            proxy = proxies.through(URL(f"{scheme}://registry.invalid"))
            if proxy is not None and proxy.scheme in SOCKS:
                socks.require()
        async with AsyncExitStack() as stack:
            opened = cls(
                stack, timeouts=timeouts, guard=guard, proxies=proxies, tls=tls, clock=clock, resolver=resolver
            )
            if tls != Tls():
                opened._context(own=True)
            yield opened

    @property
    def ca_setting(self) -> str:
        """The setting that names the file of the authority that the hosts' certificates need."""
        return self._tls.ca_setting

    async def request(
        self, method: str, url: URL, headers: Mapping[str, str], data: Data, *, own: bool
    ) -> aiohttp.ClientResponse:
        """Send a request without following redirects. The caller must release the response.

        Args:
            method: HTTP method.
            url: absolute URL.
            headers: headers in addition to those of every request.
            data: the body, in a form that aiohttp accepts.
            own: True for requests to the upstream itself, whose address is never forbidden.

        Raises:
            ConfigurationFault: the proxy is unusable.
            aiohttp.ClientError: as aiohttp.
        """
        proxy = self._proxies.through(url)
        by_socks = proxy is not None and proxy.scheme in SOCKS
        # Behind a proxy the connection made here goes to the proxy, so the guard could only check the proxy's address.
        way = "guarded" if proxy is None and not own else "open"
        client = await self._client(str(proxy) if by_socks else way)
        encrypted = "https" in {url.scheme, proxy and proxy.scheme}
        context = await self._context(own=own).current() if encrypted else True
        with socks.translated() if by_socks else nullcontext():
            return await client.request(
                method,
                url,
                headers=headers,
                data=data,
                allow_redirects=False,
                proxy=None if by_socks else proxy,
                ssl=context,
            )

    async def _client(self, kind: str) -> aiohttp.ClientSession:
        client = self._clients.get(kind)
        if client is None:
            seconds = self._timeouts
            client = self._clients[kind] = aiohttp.ClientSession(
                connector=self._connector(kind),
                headers=_HEADERS,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=seconds.connect_seconds, sock_read=seconds.read_seconds, ceil_threshold=60
                ),
                read_bufsize=_READ_BUFFER_BYTES,
            )
            await self._stack.enter_async_context(client)
        return client

    def _context(self, *, own: bool) -> ReloadingFile[ssl.SSLContext]:
        """Return the TLS context. Created on first use, because loading the system's authorities takes tens of ms."""
        identified = own and self._tls.certificate_file is not None
        if identified not in self._contexts:
            read = partial(self._tls.context, own=identified)
            self._contexts[identified] = ReloadingFile("certificate", self._tls.files, read, self._clock)
        return self._contexts[identified]

    def _connector(self, kind: str) -> aiohttp.TCPConnector:
        match kind:
            case "open":
                return guarded(aiohttp.TCPConnector(limit=0, resolver=self._resolver))
            case "guarded":
                return guarded(
                    aiohttp.TCPConnector(limit=0, resolver=self._resolver, socket_factory=self._guard.socket)
                )
            case _:
                return socks.connector(kind)
