"""``UpstreamRegistry``: all operations of the port over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from mirror.oci import Descriptor, Digest, Repository
from mirror.registry.port import Blob
from mirror.runtime.clock import Clock, SystemClock
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.upstream.auth.login_files import LoginSource
from mirror.upstream.deleter import UpstreamDeleter
from mirror.upstream.foreign_download import open_foreign_layer
from mirror.upstream.http.authorized_sender import AuthorizedSender
from mirror.upstream.http.http_proxies import Proxies
from mirror.upstream.http.tls_context import Tls
from mirror.upstream.http.transport import Transport
from mirror.upstream.http.upstream_connections import UpstreamConnections
from mirror.upstream.http.upstream_session import UpstreamSession
from mirror.upstream.http.upstream_stats import UpstreamStats
from mirror.upstream.http.upstream_urls import UpstreamUrls
from mirror.upstream.limits.upstream_policy import ListBounds, UpstreamPolicy
from mirror.upstream.lister import UpstreamLister
from mirror.upstream.reader import UpstreamReader
from mirror.upstream.writer import UpstreamWriter
from mirror.wire.ranges import RangeRequest

_SYSTEM_CLOCK = SystemClock()
_SYSTEM_TRUST = Tls()
_NO_PROXIES = Proxies()
_USUAL_TERMS = UpstreamPolicy()


class UpstreamRegistry(UpstreamReader, UpstreamWriter, UpstreamDeleter, UpstreamLister):
    """A registry on another server. Implements :class:`mirror.registry.port.Registry`.

    Besides the errors of the port, every call may raise UpstreamUnreachable, UpstreamRefused, UpstreamBusy or
    UpstreamProtocolError.
    """

    def __init__(self, session: UpstreamSession, tasks: asyncio.TaskGroup, lists: ListBounds) -> None:
        UpstreamReader.__init__(self, session)
        UpstreamLister.__init__(self, session, tasks, lists, self._manifest_heads)

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return await self.stat_blob(repository, digest)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        name: str,
        url: str,
        plain_http: bool = False,
        login: LoginSource | None = None,
        login_advice: str = "",
        tls: Tls = _SYSTEM_TRUST,
        proxies: Proxies = _NO_PROXIES,
        policy: UpstreamPolicy = _USUAL_TERMS,
        clock: Clock = _SYSTEM_CLOCK,
    ) -> AsyncIterator[UpstreamRegistry]:
        """Open an upstream. No request is sent before the first call. All connections are closed on exit.

        Args:
            name: name in the configuration and in errors.
            url: ``https://HOST[:PORT][/PATH]``. The path does not contain ``/v2``.
            plain_http: True to allow an ``http://`` URL.
            login: source of the credentials; None: anonymous.
            login_advice: how to give a login, for errors; empty for the settings of the upstream.
            tls: certificates in addition to those of the system.
            proxies: proxies for the requests.
            policy: timeouts, retries, limits and the circuit breaker.
            clock: determines the age of tokens, the end of pauses, and when to check files for changes.

        Raises:
            ConfigurationFault: the URL is invalid, or is ``http://`` without ``plain_http``. Or a certificate, a proxy
                or the folder of shared limits is unusable.
        """
        addresses = UpstreamUrls(name, url, plain_http=plain_http)
        async with (
            UpstreamConnections.open(
                timeouts=policy.timeouts, guard=addresses.guard, proxies=proxies, tls=tls, clock=clock
            ) as connections,
            Transport.open(name, addresses, connections, policy, clock) as transport,
            BackgroundTasks() as tasks,
        ):
            sender = AuthorizedSender(
                name=name, addresses=addresses, transport=transport, login=login, clock=clock, plain_http=plain_http
            )
            session = UpstreamSession(
                name=name,
                addresses=addresses,
                transport=transport,
                sender=sender,
                clock=clock,
                retry=policy.retry,
                login_advice=login_advice,
            )
            yield cls(session, tasks, policy.lists)

    def open_url(
        self, url: str, layer: Descriptor, part: RangeRequest | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        """Open a foreign layer at another server, see :func:`mirror.upstream.foreign_download.open_foreign_layer`."""
        return open_foreign_layer(self._session, url, layer, part)

    def stats(self) -> UpstreamStats:
        """Return the counts since the upstream was opened and its state, for metrics and for people."""
        return self._session.transport.stats()
