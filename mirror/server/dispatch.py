"""From a request to its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from aiohttp import web

from mirror.registry.port import Registry
from mirror.server import blobs, errors, headers, manifests, ping, referrers, tags, uploads
from mirror.server.exchange import REQUEST_ID, ROUTE, Exchange
from mirror.server.limits import Limits
from mirror.server.uploading import Uploading
from mirror.wire import routes
from mirror.wire.routes import Route

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
        uploading: who is sending content.
    """

    def __init__(self, registry: Registry, limits: Limits, uploading: Uploading) -> None:
        self._registry = registry
        self._limits = limits
        self._uploading = uploading

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request.

        Raises:
            MirrorError: the registry, or the grammar of paths, refuses it.
        """
        route = request[ROUTE] = _route(request)
        handler = _HANDLERS[type(route), request.method]
        return await handler(Exchange(request, self._registry, self._limits, self._uploading), route)


def expecting(ids: Iterator[str]) -> Callable[[web.Request], Awaitable[web.StreamResponse | None]]:
    """What hears ``Expect`` out. Whoever reads the body says "100 Continue", so that a refusal comes before the body.

    Args:
        ids: a name for each request that ends here.
    """

    async def expect(request: web.Request) -> web.StreamResponse | None:
        if request.headers[headers.EXPECT].lower() == "100-continue":
            return None
        request[REQUEST_ID] = next(ids)
        return errors.unreadable(417, "the only expectation that can be met is 100-continue")

    return expect


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
