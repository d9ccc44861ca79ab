"""``UpstreamRegistry``: the whole port over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mirror.runtime.clock import Clock, SystemClock
from mirror.upstream.credentials import Credentials
from mirror.upstream.deleter import UpstreamDeleter
from mirror.upstream.lister import UpstreamLister
from mirror.upstream.patience import Patience
from mirror.upstream.reader import UpstreamReader
from mirror.upstream.session import UpstreamSession
from mirror.upstream.writer import UpstreamWriter

_SYSTEM_CLOCK = SystemClock()
_PATIENCE = Patience()


class UpstreamRegistry(UpstreamReader, UpstreamWriter, UpstreamDeleter, UpstreamLister):
    """Another server as a registry. Implements :class:`mirror.registry.port.Registry`.

    Every call may raise UpstreamUnreachable, UpstreamRefused, UpstreamBusy or UpstreamLied besides what the port says.
    """

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        name: str,
        url: str,
        plain_http: bool = False,
        credentials: Credentials | None = None,
        connect_timeout_seconds: float = 10,
        read_timeout_seconds: float = 60,
        clock: Clock = _SYSTEM_CLOCK,
        patience: Patience = _PATIENCE,
    ) -> AsyncIterator[UpstreamRegistry]:
        """Open it; nothing is sent before the first call. Leaving closes its connections.

        Args:
            name: what it is called in the configuration and in errors.
            url: ``https://HOST[:PORT]``, without a path.
            plain_http: whether an ``http://`` URL is meant.
            credentials: who we are; None: nobody.
            connect_timeout_seconds: the longest wait for a connection, name resolution and TLS included.
            read_timeout_seconds: the longest wait between two pieces, in either direction.
            clock: tells the age of tokens.
            patience: how often what may pass is tried.

        Raises:
            ConfigurationFault: the URL cannot be used, or is ``http://`` without ``plain_http``.
        """
        async with UpstreamSession.open(
            name=name,
            url=url,
            plain_http=plain_http,
            credentials=credentials,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
            clock=clock,
            patience=patience,
        ) as session:
            yield cls(session)
