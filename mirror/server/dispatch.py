"""From a request to its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from aiohttp import web

from mirror.oci.errors import RightMissing, Unauthorized, Unsupported
from mirror.registry.port import Registry
from mirror.server import blobs, headers, manifests, ping, referrers, tags, uploads
from mirror.server.authentication import TOKEN_PATH, Authentication
from mirror.server.exchange import ROUTE, Exchange
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
        watched: what else there is to be read, by path.
        authentication: tells callers apart; None: all are the same.
    """

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        uploading: Uploading,
        watched: Mapping[str, Watched],
        authentication: Authentication | None = None,
    ) -> None:
        self._authentication = authentication
        self._handlers = _HANDLERS if authentication is None else _HANDLERS | _asking_first(authentication, registry)
        self._registry = registry
        self._limits = limits
        self._uploading = uploading
        self._watched = watched

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request.

        Raises:
            MirrorError: the registry, or the grammar of paths, refuses it.
        """
        method, target = request.method, request.raw_path
        if not target.startswith("/"):  # a whole URL, as proxies are sent
            target = request.rel_url.raw_path_qs
        path, mark, query = target.partition("?")
        if (show := self._watched.get(path)) is not None:
            if path != TOKEN_PATH:
                _require_read(method, path)
            return await show(request)
        route = routes.parse(method, path, routes.parse_query(query)) if mark else _route_of_path(method, path)
        request[ROUTE] = route
        handler = self._handlers[type(route), method]
        authorization = request.headers.get(headers.AUTHORIZATION)
        if authorization is not None and self._authentication is not None:
            return await self._handle_for(request, route, handler, authorization, self._authentication)
        try:
            return await handler(Exchange(request, self._registry, self._limits, self._uploading), route)
        except (RightMissing, Unauthorized) as error:
            if self._authentication is None:
                raise
            raise await self._authentication.refusal(error, request, route) from error

    async def _handle_for(
        self,
        request: web.BaseRequest,
        route: Route,
        handler: Handler,
        authorization: str,
        authentication: Authentication,
    ) -> web.StreamResponse:
        """Answer whoever says who they are."""
        caller = None
        try:
            caller = await authentication.caller(request, authorization)
            registry = self._registry if caller is None else caller.registry
            return await handler(Exchange(request, registry, self._limits, self._uploading), route)
        except (RightMissing, Unauthorized) as error:
            raise await authentication.refusal(error, request, route, caller) from error


def _asking_first(authentication: Authentication, registry: Registry) -> dict[tuple[type[Route], str], Handler]:
    """Handlers of ``/v2/`` where there may be users: clients ask there whether to log in."""

    async def get(exchange: Exchange, route: Any) -> web.StreamResponse:
        if exchange.registry is registry:
            await authentication.require_login()
        return await ping.get(exchange, route)

    return {(routes.PingRoute, method): get for method in ("GET", "HEAD")}


def _require_read(method: str, path: str) -> None:
    if method not in {"GET", "HEAD"}:
        raise Unsupported(f"{path} is only read: GET, HEAD", method=method, allowed="GET, HEAD")


@lru_cache(maxsize=4096)
def _route_of_path(method: str, path: str) -> Route:
    """Engines ask for the same few paths over and over."""
    return routes.parse(method, path, {})
