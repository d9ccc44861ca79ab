"""Keys of the token issuer, from its file or URL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import aiohttp
from yarl import URL

from mirror.access.issuer.issuer_metrics import KeyFetchOutcome
from mirror.access.issuer.jwk_set import MOST_BYTES
from mirror.access.issuer.key_sources import FetchedKeys, KeyFile, KeySource
from mirror.oci.errors import UpstreamProtocolError, UpstreamUnreachable
from mirror.runtime.clock import Clock
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.settings.server.token_issuer_settings import TokenIssuerSettings
from mirror.upstream.http.forbidden_destinations import DestinationGuard
from mirror.upstream.http.http_proxies import Proxies
from mirror.upstream.http.tls_context import Tls
from mirror.upstream.http.upstream_connections import UpstreamConnections
from mirror.upstream.http.upstream_errors import connection_fault, redacted
from mirror.upstream.limits.upstream_policy import Timeouts

_FETCH_SECONDS: Final = 10.0


@asynccontextmanager
async def issuer_keys(
    settings: TokenIssuerSettings, clock: Clock, counted: Callable[[KeyFetchOutcome], None]
) -> AsyncIterator[KeySource]:
    """Yield the keys of a token issuer. They are kept up to date inside the context.

    Args:
        settings: the issuer.
        clock: current time.
        counted: counts fetches.

    Raises:
        ConfigurationFault: the file of the keys, or of the CA certificates, is unusable.
    """
    if settings.jwks_file is not None:
        yield KeyFile(settings.jwks_file, clock)
        return
    async with (
        UpstreamConnections.open(
            timeouts=Timeouts(),
            guard=DestinationGuard(),
            proxies=Proxies(environment=os.environ),
            tls=Tls(ca_file=settings.ca_file, ca_setting="server.token_issuer.ca_file"),
            clock=clock,
        ) as connections,
        BackgroundTasks() as tasks,
    ):
        keys = FetchedKeys(settings.jwks, partial(fetch, connections, settings.jwks), clock, counted)
        tasks.create_task(keys.follow())
        yield keys


async def fetch(connections: UpstreamConnections, url: str) -> bytes:
    """Return the content of a URL. Redirects are not followed.

    Raises:
        UpstreamFault: no answer within ten seconds, another status than 200, or a larger answer than a key set may be.
    """
    content, status, shown = b"", 0, redacted(URL(url))
    try:
        async with (
            asyncio.timeout(_FETCH_SECONDS),
            await connections.request("GET", URL(url), {"Accept": "application/json"}, None, own=True) as response,
        ):
            status = response.status
            while piece := await response.content.read(MOST_BYTES + 1 - len(content)):
                content += piece
    except TimeoutError as error:
        raise UpstreamUnreachable(f"{shown} did not answer within {_FETCH_SECONDS:.0f} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        kind, what = connection_fault(error, ca_setting=connections.ca_setting)
        raise kind(f"{shown}: {what}") from error
    if status != 200:
        raise UpstreamProtocolError(f"{shown} answered {status}, and not 200 with a key set")
    if len(content) > MOST_BYTES:
        raise UpstreamProtocolError(f"{shown} answered more than {MOST_BYTES} bytes")
    return content
