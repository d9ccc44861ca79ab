"""Views of the registry that depend on the client reading a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from aiohttp import hdrs, web

from mirror.access.client import Client, ClientViews
from mirror.oci.media_types import INDEXES
from mirror.registry.port import Registry
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.request_context import VARIES
from mirror.wire import accept, user_agent
from mirror.wire.routes import ManifestRoute
from mirror.wire.user_agent import MAX_USER_AGENT_LENGTH

#: Longest ``Accept``, in characters, whose parsed form is cached. Engines send about 250.
_LONGEST_KEPT: Final = 1024


def shown(
    request: web.BaseRequest,
    route: ManifestRoute,
    registry: Registry,
    views: Sequence[ClientViews],
    forwarded: ForwardedHeaders,
) -> tuple[Registry, bool]:
    """Return the registry as seen by the client of a manifest request, and True if answers differ between clients.

    Args:
        request: a ``GET`` or ``HEAD`` of a manifest.
        route: the route of the request.
        registry: the registry as limited by the caller's rights.
        views: the views by client, each wrapping the result of those before it.
        forwarded: finds the client's address.
    """
    client, varies = None, False
    for each in views:
        if each.concerns(route.repository, route.target):
            client = client or _client(request, forwarded)  # parsed only for names that some view concerns
            registry = each.view_for(client, registry)
            varies = varies or each.varies_by_client(route.repository, route.target)
    if varies:
        request[VARIES] = True  # an error answer needs Vary too
    return registry, varies


def _client(request: web.BaseRequest, forwarded: ForwardedHeaders) -> Client:
    said = request.headers.get(hdrs.USER_AGENT, "")[:MAX_USER_AGENT_LENGTH]
    takes = tuple(request.headers.getall(hdrs.ACCEPT, ()))
    address = forwarded.client_address(request)
    # A long Accept is parsed each time, so that the memory of the cache stays bounded.
    read = _known if sum(map(len, takes)) <= _LONGEST_KEPT else _known.__wrapped__
    return read(said, takes, address)


@lru_cache(maxsize=1024)
def _known(said: str, takes: tuple[str, ...], address: str) -> Client:
    """Return the client with these properties. Cached, because hosts repeat the same headers."""
    return Client(_engine(said), accept.names_any(takes, INDEXES), address)


# A site's hosts run few different engine versions.
_engine = lru_cache(maxsize=256)(user_agent.parse)
