"""From a request to its handler, and from what the handler raises to an answer."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final

import structlog
from aiohttp import web

from mirror.oci.errors import MirrorError
from mirror.registry.port import Registry
from mirror.server import blobs, errors, headers, manifests, ping, referrers, tags, uploads
from mirror.server.exchange import Exchange
from mirror.server.in_flight import InFlight
from mirror.server.limits import Limits
from mirror.wire import routes
from mirror.wire.routes import Route

#: What a request was found to ask for, and its name in the log; the access log reads both.
ROUTE: Final = web.RequestKey("route", Route)
REQUEST_ID: Final = web.RequestKey("request_id", str)

Handler = Callable[[Exchange, Any], Awaitable[web.StreamResponse]]

_HANDLERS: Final[dict[tuple[type[Route], str], Handler]] = {
    (routes.PingRoute, "GET"): ping.get,
    (routes.PingRoute, "HEAD"): ping.get,
    (routes.CatalogRoute, "GET"): tags.catalog,
    (routes.CatalogRoute, "HEAD"): tags.catalog,
    (routes.TagsRoute, "GET"): tags.get,
    (routes.TagsRoute, "HEAD"): tags.get,
    (routes.ReferrersRoute, "GET"): referrers.get,
    (routes.ReferrersRoute, "HEAD"): referrers.get,
    (routes.ManifestRoute, "HEAD"): manifests.head,
    (routes.ManifestRoute, "GET"): manifests.get,
    (routes.ManifestRoute, "PUT"): manifests.put,
    (routes.ManifestRoute, "DELETE"): manifests.delete,
    (routes.BlobRoute, "HEAD"): blobs.head,
    (routes.BlobRoute, "GET"): blobs.get,
    (routes.BlobRoute, "DELETE"): blobs.delete,
    (routes.UploadsRoute, "POST"): uploads.post,
    (routes.UploadRoute, "GET"): uploads.get,
    (routes.UploadRoute, "HEAD"): uploads.get,
    (routes.UploadRoute, "PATCH"): uploads.patch,
    (routes.UploadRoute, "PUT"): uploads.put,
    (routes.UploadRoute, "DELETE"): uploads.delete,
}


class Dispatch:
    """Answers every path that no other part of the application claims.

    Args:
        registry: what answers come from.
        limits: what clients may ask of the server.
        in_flight: told of every request that begins and ends.
    """

    def __init__(self, registry: Registry, limits: Limits, in_flight: InFlight) -> None:
        self._registry = registry
        self._limits = limits
        self._in_flight = in_flight
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, whatever happens; only cancellation leaves here."""
        request_id = request[REQUEST_ID] = f"{self._prefix}-{next(self._numbers)}"
        structlog.contextvars.bind_contextvars(request_id=request_id)
        allowed = ""
        with self._in_flight:
            try:
                route = request[ROUTE] = _route(request)
                allowed = ", ".join(sorted(route.methods - {request.method}))
                handler = _HANDLERS[type(route), request.method]
                response = await handler(Exchange(request, self._registry, self._limits), route)
            except MirrorError as error:
                response = errors.refused(error, request_id, allowed)
            except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
                response = errors.failed(error, request_id)
        if self._in_flight.closing and not response.prepared:
            response.force_close()
        return response


async def expect(request: web.Request) -> web.StreamResponse | None:
    """Hear ``Expect`` out. Whoever reads the body says "100 Continue", so that a refusal comes before the body does."""
    if request.headers[headers.EXPECT].lower() != "100-continue":
        return errors.unreadable(417, "the only expectation that can be met is 100-continue")
    return None


def _route(request: web.Request) -> Route:
    method, target = request.method, request.raw_path
    if not target.startswith("/"):  # a whole URL, as proxies are sent
        target = request.rel_url.raw_path_qs
    path, mark, query = target.partition("?")
    return routes.parse(method, path, routes.parse_query(query)) if mark else _route_of_path(method, path)


@lru_cache(maxsize=4096)
def _route_of_path(method: str, path: str) -> Route:
    """Engines ask for the same few paths over and over."""
    return routes.parse(method, path, {})
