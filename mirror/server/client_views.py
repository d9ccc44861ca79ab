"""Clients told apart when they read manifests: the request says who asks, and the answer whether that matters."""

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

#: Characters of ``Accept`` up to which it is kept what it says; engines send some 250.
_LONGEST_KEPT: Final = 1024


def shown(
    request: web.BaseRequest,
    route: ManifestRoute,
    registry: Registry,
    views: Sequence[ClientViews],
    forwarded: ForwardedHeaders,
) -> tuple[Registry, bool]:
    """The registry as the client sees it that reads a manifest, and whether others may be answered something else.

    Args:
        request, route: a ``GET`` or ``HEAD`` of a manifest.
        registry: as the caller's rights show it.
        views: what tells clients apart; each is laid around what the ones before it show.
        forwarded: knows the client's address.
    """
    client, varies = None, False
    for each in views:
        if each.concerns(route.repository, route.target):
            client = client or _client(request, forwarded)
            registry = each.view_for(client, registry)
            varies = varies or each.varies_by_client(route.repository, route.target)
    if varies:
        request[VARIES] = True
    return registry, varies


def _client(request: web.BaseRequest, forwarded: ForwardedHeaders) -> Client:
    said = request.headers.get(hdrs.USER_AGENT, "")[:MAX_USER_AGENT_LENGTH]
    takes = tuple(request.headers.getall(hdrs.ACCEPT, ()))
    address = forwarded.client_address(request)
    read = _known if sum(map(len, takes)) <= _LONGEST_KEPT else _known.__wrapped__
    return read(said, takes, address)


@lru_cache(maxsize=1024)
def _known(said: str, takes: tuple[str, ...], address: str) -> Client:
    """Hosts say the same again and again."""
    return Client(_engine(said), accept.names_any(takes, INDEXES), address)


# Hosts have few versions between them.
_engine = lru_cache(maxsize=256)(user_agent.parse)
