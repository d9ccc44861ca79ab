"""Dispatch of requests to their handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from aiohttp import hdrs, web

from mirror.access.client import ClientViews
from mirror.oci.errors import RightMissing, Unauthorized
from mirror.registry.port import Registry
from mirror.server.authentication import Authentication
from mirror.server.client_views import shown
from mirror.server.connection_callers import ConnectionCallers
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.handlers import blob_uploads, blobs, manifests, ping, referrers, tags
from mirror.server.http.activity import Activity
from mirror.server.http.server_limits import ServerLimits
from mirror.server.request_context import ROUTE, RequestContext
from mirror.server.request_scope import Handler
from mirror.wire import request_line, routes
from mirror.wire.routes import ManifestRoute, Route

Answer = Callable[[RequestContext, Any], Awaitable[web.StreamResponse]]

#: Begin of all paths of the distribution API.
_API: Final = "/v2/"
_READING: Final = frozenset({"GET", "HEAD"})
_ANSWERS: Final[Mapping[type[Route], Mapping[str, Answer]]] = {
    routes.PingRoute: {"GET": ping.get, "HEAD": ping.get},
    routes.CatalogRoute: {"GET": tags.catalog, "HEAD": tags.catalog},
    routes.TagsRoute: {"GET": tags.get, "HEAD": tags.get},
    routes.ReferrersRoute: {"GET": referrers.get, "HEAD": referrers.get},
    ManifestRoute: {"HEAD": manifests.head, "GET": manifests.get, "PUT": manifests.put, "DELETE": manifests.delete},
    routes.BlobRoute: {"HEAD": blobs.head, "GET": blobs.get, "DELETE": blobs.delete},
    routes.UploadsRoute: {"POST": blob_uploads.post},
    routes.UploadRoute: {
        "GET": blob_uploads.get,
        "HEAD": blob_uploads.get,
        "PATCH": blob_uploads.patch,
        "PUT": blob_uploads.put,
    }
    | {"DELETE": blob_uploads.delete},
}


class Dispatch:
    """Finds the handler of a request, and identifies its caller.

    Args:
        registry: the registry for callers without a login and without a certificate.
        limits: the limits for clients.
        activity: the current activity of the process.
        beside: handlers of paths outside the distribution API, by path.
        authentication: identifies users; None without logins.
        connections: identifies callers by client certificates; None if clients show none.
        views: views of manifests by client.
        forwarded: builds the server's public URL, and finds the client's address.
    """

    def __init__(
        self,
        registry: Registry,
        limits: ServerLimits,
        activity: Activity,
        *,
        beside: Mapping[str, Handler],
        authentication: Authentication | None,
        connections: ConnectionCallers | None,
        views: Sequence[ClientViews],
        forwarded: ForwardedHeaders,
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._activity = activity
        self._beside = beside
        self._authentication = authentication
        self._connections = connections
        self._views = views
        self._forwarded = forwarded
        self._answers = {**_ANSWERS, **({} if authentication is None else _asking_first(authentication))}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request.

        Raises:
            MirrorError: the path is invalid, or the registry refuses the request.
        """
        client = None if self._connections is None else await self._connections.caller(request)
        method, target = request.method, request.raw_path
        if not target.startswith("/"):  # the absolute form (RFC 9112, section 3.2.2), which clients send to proxies
            target = request.rel_url.raw_path_qs
        path, mark, query = target.partition("?")
        handle = self._beside.get(path)
        if handle is None and not path.startswith(_API):
            path = self._forwarded.without_prefix(request, path)
            handle = self._beside.get(path)
        if handle is not None:
            return await handle(request)
        route = (
            request_line.parse(method, path, request_line.parse_query(query)) if mark else _route_of_path(method, path)
        )
        request[ROUTE] = route
        registry = self._registry if client is None else client.registry
        authorization = request.headers.get(hdrs.AUTHORIZATION)
        if authorization is not None and self._authentication is not None:
            return await self._answer_caller(request, route, registry, authorization, self._authentication)
        try:
            return await self._answer(request, route, registry)
        except (RightMissing, Unauthorized) as error:
            if self._authentication is None:
                raise
            raise await self._authentication.refusal(error, request, route) from error

    async def _answer_caller(
        self,
        request: web.BaseRequest,
        route: Route,
        registry: Registry,
        authorization: str,
        authentication: Authentication,
    ) -> web.StreamResponse:
        """Answer a request with an ``Authorization`` header, for which ``registry`` is used if there are no users."""
        caller = None
        try:
            caller = await authentication.caller(request, authorization)
            return await self._answer(request, route, registry if caller is None else caller.registry)
        except (RightMissing, Unauthorized) as error:
            raise await authentication.refusal(error, request, route, caller) from error

    async def _answer(self, request: web.BaseRequest, route: Route, registry: Registry) -> web.StreamResponse:
        varies = False
        # Views concern reads of manifests only, and cost other requests nothing.
        if self._views and type(route) is ManifestRoute and request.method in _READING:
            registry, varies = shown(request, route, registry, self._views, self._forwarded)
        context = RequestContext(request, registry, self._limits, self._activity, self._forwarded, varies)
        return await self._answers[type(route)][request.method](context, route)


def _asking_first(authentication: Authentication) -> dict[type[Route], Mapping[str, Answer]]:
    """Return the handlers of ``/v2/`` that ask for a login if there are users.

    Clients decide by this answer whether to log in, also those with a certificate.
    """

    async def get(context: RequestContext, route: Any) -> web.StreamResponse:
        if hdrs.AUTHORIZATION not in context.request.headers:
            await authentication.require_login()
        return await ping.get(context, route)

    return {routes.PingRoute: dict.fromkeys(_READING, get)}


@lru_cache(maxsize=4096)
def _route_of_path(method: str, path: str) -> Route:
    """Parse a path without a query. Cached, because engines ask for the same few paths again and again."""
    return request_line.parse(method, path, {})
