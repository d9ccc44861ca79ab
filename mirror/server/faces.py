"""Tags that are not the same for all clients: the request tells who asks, and the answer that it matters."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from aiohttp import web

from mirror.oci.media_types import INDEXES
from mirror.oci.names import Tag
from mirror.registry.client import Client, Faces
from mirror.server import headers
from mirror.server.answering import Handler
from mirror.server.exchange import Exchange
from mirror.wire import accept, user_agent
from mirror.wire.routes import ManifestRoute, Route

#: On requests whose answer, whatever it is, is not for everybody.
_VARIES: Final = web.RequestKey("varies", bool)
_VARY: Final = "User-Agent, Accept"


def shown(exchange: Exchange, route: Route, faces: Faces) -> Exchange:
    """The exchange, with the registry as its client sees it."""
    request = exchange.request
    if not isinstance(route, ManifestRoute) or request.method not in {"GET", "HEAD"}:
        return exchange
    if not isinstance(route.target, Tag) or not faces.differs(route.repository, route.target):
        return exchange
    request[_VARIES] = True
    client = Client(
        user_agent.parse(request.headers.get(headers.USER_AGENT, "")),
        accept.names_any(request.headers.getall(headers.ACCEPT, ()), INDEXES),
    )
    return replace(exchange, registry=faces.shown_to(client, exchange.registry), varies=True)


def varying(handle: Handler) -> Handler:
    """A handler whose answers say what they depend on, refusals as well, so that no cache mixes platforms."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = await handle(request)
        if _VARIES in request:
            response.headers[headers.VARY] = _VARY
        return response

    return answer
