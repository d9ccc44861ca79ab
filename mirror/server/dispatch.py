"""From a request to its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, Final

from aiohttp import web

from mirror.oci.errors import Unsupported
from mirror.registry.client import Faces
from mirror.registry.port import Registry
from mirror.server import blobs, manifests, ping, referrers, tags, uploads
from mirror.server.acts import Act, perform
from mirror.server.exchange import ROUTE, Exchange
from mirror.server.faces import shown
from mirror.server.limits import Limits
from mirror.server.uploading import Uploading
from mirror.wire import routes
from mirror.wire.routes import Route

Handler = Callable[[Exchange, Any], Awaitable[web.StreamResponse]]
Watched = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

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
    """Finds what answers a request.

    Args:
        registry: what answers of the distribution API come from.
        limits: what clients may ask of the server.
        uploading: who is sending content.
        beside: what else there is to be read and done, by path.
        faces: how clients see tags that are not the same for all; None: there are none.
    """

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        uploading: Uploading,
        beside: Mapping[str, Watched | Act],
        faces: Faces | None,
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._uploading = uploading
        self._beside = beside
        self._faces = faces

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request.

        Raises:
            MirrorError: the registry, or the grammar of paths, refuses it.
        """
        method, target = request.method, request.raw_path
        if not target.startswith("/"):  # a whole URL, as proxies are sent
            target = request.rel_url.raw_path_qs
        path, mark, query = target.partition("?")
        if (other := self._beside.get(path)) is not None:
            return await self._show_or_perform(other, request, path)
        route = routes.parse(method, path, routes.parse_query(query)) if mark else _route_of_path(method, path)
        request[ROUTE] = route
        handler = _HANDLERS[type(route), method]
        exchange = Exchange(request, self._registry, self._limits, self._uploading)
        return await handler(exchange if self._faces is None else shown(exchange, route, self._faces), route)

    async def _show_or_perform(self, other: Watched | Act, request: web.BaseRequest, path: str) -> web.StreamResponse:
        if isinstance(other, Act):
            _require(request.method, {"POST"}, f"{path} is only sent to")
            return await perform(other, Exchange(request, self._registry, self._limits, self._uploading))
        _require(request.method, {"GET", "HEAD"}, f"{path} is only read")
        return await other(request)


def _require(method: str, methods: Collection[str], what: str) -> None:
    if method not in methods:
        allowed = ", ".join(sorted(methods))
        raise Unsupported(f"{what}: {allowed}", method=method, allowed=allowed)


@lru_cache(maxsize=4096)
def _route_of_path(method: str, path: str) -> Route:
    """Engines ask for the same few paths over and over."""
    return routes.parse(method, path, {})
