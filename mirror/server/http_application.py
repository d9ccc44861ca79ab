"""The HTTP application: the distribution API, and the paths for those who watch over the server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from mirror.access.client import ClientViews
from mirror.oci.errors import Unsupported
from mirror.registry.port import Registry
from mirror.runtime.current_client import CLIENT
from mirror.runtime.shared_metrics import SharedMetrics
from mirror.server.api.admin_actions import AdminAction, action_handler
from mirror.server.api.health import Check, Health
from mirror.server.api.operators import Operators
from mirror.server.api.reports import Report, report_handler
from mirror.server.api.request_metrics import FAMILIES, Page, RequestMetrics, showing
from mirror.server.authentication import TOKEN_PATH, Authentication
from mirror.server.dispatch import Dispatch
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.http.activity import Activity
from mirror.server.http.client_limits import ClientLimits
from mirror.server.http.server_limits import ServerLimits
from mirror.server.request_context import RequestContext, request_ids
from mirror.server.request_scope import Handler, with_request_scope
from mirror.server.upstream_namespaces import answering_for


@dataclass(frozen=True, slots=True)
class Application:
    """A registry behind HTTP, for :func:`mirror.server.http_server.serving`. Made by :func:`build`.

    It stands right on aiohttp's server: routes, middlewares and signals of a ``web.Application`` would cost every
    request as much time as the store takes to answer it.

    Attributes:
        handle: answers one request; raises nothing.
        limits: what clients may ask.
        activity: what is under way.
        behind_proxy: whether connections are a proxy's, and not its clients'.
        requests: counts the answers.
    """

    handle: Handler
    limits: ServerLimits
    activity: Activity
    behind_proxy: bool
    requests: RequestMetrics


def build(
    registry: Registry,
    *,
    limits: ServerLimits | None = None,
    activity: Activity | None = None,
    readiness: Mapping[str, Check] | None = None,
    requests: RequestMetrics | None = None,
    metrics: Page | None = None,
    reports: Mapping[str, Report] | None = None,
    namespaces: Collection[str] = (),
    operators: Operators | None = None,
    operator_reports: Mapping[str, Report] | None = None,
    actions: Mapping[str, AdminAction] | None = None,
    authentication: Authentication | None = None,
    views: Sequence[ClientViews] = (),
    forwarded: ForwardedHeaders | None = None,
) -> Application:
    """Put a registry behind HTTP.

    Args:
        registry: what is served; who may do what is its affair, and closing it the caller's.
        limits: ceilings; the defaults where none are given.
        activity: counts what is under way, within those limits; its own where nobody else looks at it.
        readiness: checks of ``/readyz``, by name; each raises where what it looks at does not work.
        requests: counts the answers; nobody sees the count where it is not given.
        metrics: the page ``/metrics``; there is none where it is not given.
        reports: what ``/api/v1/NAME`` gives, by name.
        namespaces: registries that are answered for, where a client says which it means; none: whatever it says.
        operators: tells who may have the next two; without it there are none.
        operator_reports: as ``reports``, for those who may operate the server.
        actions: what ``POST /api/v1/NAME`` does, by name.
        authentication: tells callers apart, and gives tokens; all callers are the same where it is not given.
        views: what tells clients apart that read manifests; each is laid around those before it.
        forwarded: how the server is reached; directly where it is not given.
    """
    forwarded = forwarded or ForwardedHeaders()
    limits = limits or ServerLimits()
    activity = activity or Activity.within(limits)
    health = Health(readiness or {})
    read: dict[str, Handler] = {"/healthz": health.alive, "/readyz": health.ready}
    if metrics is not None:
        read["/metrics"] = showing(metrics)

    def told(given: Mapping[str, Report] | None, to_whom: Operators | None = None) -> dict[str, Handler]:
        return {
            f"/api/v1/{name}": report_handler(each, activity, forwarded, to_whom)
            for name, each in (given or {}).items()
        }

    read |= told(reports)
    if operators is not None:
        read |= told(operator_reports, operators)

    def context(request: web.BaseRequest) -> RequestContext:
        return RequestContext(request, registry, limits, activity, forwarded)

    beside = {path: _only(path, ("GET", "HEAD"), show) for path, show in read.items()}
    if operators is not None:
        for name, action in (actions or {}).items():
            beside[f"/api/v1/{name}"] = _only(f"/api/v1/{name}", ("POST",), action_handler(action, operators, context))
    if authentication is not None:
        beside[TOKEN_PATH] = _only(TOKEN_PATH, ("GET", "POST"), lambda request: authentication.token(context(request)))
    dispatch = Dispatch(
        registry, limits, activity, beside=beside, authentication=authentication, views=views, forwarded=forwarded
    )
    handle = answering_for(dispatch.handle, namespaces) if namespaces else dispatch.handle
    if forwarded.behind_proxy:
        handle = shared(handle, forwarded, activity.requests)
    handle = with_request_scope(handle, activity.in_flight, request_ids())
    requests = requests or RequestMetrics(SharedMetrics(FAMILIES).slot())
    return Application(handle, limits, activity, forwarded.behind_proxy, requests)


def shared(handle: Handler, forwarded: ForwardedHeaders, requests: ClientLimits) -> Handler:
    """A handler that no client has more than its share of under way, and that works on behalf of that client.

    Without a proxy both are affairs of the connection (:mod:`mirror.server.http_server`).

    Args:
        handle: answers a request.
        forwarded: knows clients behind a proxy.
        requests: counts them.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        client = forwarded.client_key(request)
        CLIENT.set(client)
        with requests.one_of(client):
            return await handle(request)

    return answer


def _only(path: str, methods: Sequence[str], handle: Handler) -> Handler:
    """A handler that refuses other methods."""
    allowed = ", ".join(methods)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in methods:
            raise Unsupported(f"{path} knows {allowed}", method=request.method, allowed=allowed)
        return await handle(request)

    return answer
