"""Clients told apart when they read manifests: the request says who asks, and the answer whether that matters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from aiohttp import web

from mirror.oci.media_types import INDEXES
from mirror.registry.client import Client, Faces
from mirror.server import headers
from mirror.server.answering import Handler
from mirror.server.exchange import Exchange
from mirror.wire import accept, user_agent
from mirror.wire.routes import ManifestRoute, Route
from mirror.wire.user_agent import MAX_USER_AGENT_LENGTH, Engine

#: On requests whose answer, whatever it is, is not for everybody.
_VARIES: Final = web.RequestKey("varies", bool)
#: Characters of ``Accept`` up to which it is kept what it says; engines send some 250.
_LONGEST_KEPT: Final = 1024
_VARY: Final = "User-Agent, Accept"


def shown(exchange: Exchange, route: Route, faces: Sequence[Faces]) -> Exchange:
    """The exchange, with the registry as its client sees it.

    Args:
        exchange, route: a request.
        faces: what tells clients apart; each is laid around what the ones before it show.
    """
    request = exchange.request
    if not isinstance(route, ManifestRoute) or request.method not in {"GET", "HEAD"}:
        return exchange
    repository, target = route.repository, route.target
    client, registry, varies = None, exchange.registry, False
    for each in faces:
        if each.concerns(repository, target):
            client = client or _client(exchange)
            registry = each.shown_to(client, registry)
            varies = varies or each.differs(repository, target)
    if registry is exchange.registry and not varies:
        return exchange
    if varies:
        request[_VARIES] = True
    return Exchange(request, registry, exchange.limits, exchange.load, exchange.front, varies)


def _client(exchange: Exchange) -> Client:
    request = exchange.request
    said = request.headers.get(headers.USER_AGENT, "")[:MAX_USER_AGENT_LENGTH]
    takes = tuple(request.headers.getall(headers.ACCEPT, ()))
    address = exchange.front.address_of(request)
    if sum(map(len, takes)) <= _LONGEST_KEPT:
        return _known(said, takes, address)
    return Client(_engine(said), accept.names_any(takes, INDEXES), address)


@lru_cache(maxsize=1024)
def _known(said: str, takes: tuple[str, ...], address: str) -> Client:
    """Hosts say the same again and again."""
    return Client(_engine(said), accept.names_any(takes, INDEXES), address)


@lru_cache(maxsize=256)
def _engine(said: str) -> Engine | None:
    """Hosts have few versions between them."""
    return user_agent.parse(said)


def varying(handle: Handler) -> Handler:
    """A handler whose answers say what they depend on, refusals as well, so that no cache mixes platforms."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = await handle(request)
        if _VARIES in request:
            response.headers[headers.VARY] = _VARY
        return response

    return answer
