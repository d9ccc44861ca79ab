"""The HTTP application: the distribution API, and the paths for operators."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from mirror.access.client import ClientViews
from mirror.oci.errors import Unsupported
from mirror.registry.port import Registry
from mirror.runtime.current_client import CLIENT
from mirror.runtime.metrics.shared_metrics import SharedMetrics
from mirror.server.api.admin_actions import AdminAction, action_handler
from mirror.server.api.health import Check, Health
from mirror.server.api.host_setup_pages import HostSetupPages
from mirror.server.api.operators import Operators
from mirror.server.api.reports import Report, report_handler
from mirror.server.api.request_metrics import FAMILIES, Page, RequestMetrics, showing
from mirror.server.authentication import TOKEN_PATH, Authentication
from mirror.server.connection_callers import ConnectionCallers
from mirror.server.dispatch import Dispatch
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.http.activity import Activity
from mirror.server.http.client_limits import ClientLimits
from mirror.server.http.server_limits import ServerLimits
from mirror.server.refused_changes import RefusedChanges
from mirror.server.request_context import RequestContext, request_ids
from mirror.server.request_scope import Handler, with_request_scope
from mirror.server.upstream_namespaces import answering_for


@dataclass(frozen=True, slots=True)
class Application:
    """A registry behind HTTP, built by :func:`build` and run by :func:`mirror.server.http_server.serving`.

    The application uses aiohttp's low-level server. Routing, middlewares and signals of a ``web.Application`` would
    take as much time per request as the store.

    Attributes:
        handle: answers a request and never raises, except for cancellation.
        limits: the limits for clients.
        activity: the current activity of the process.
        forwarded: finds the clients behind reverse proxies.
        requests: counts the answers.
    """

    handle: Handler
    limits: ServerLimits
    activity: Activity
    forwarded: ForwardedHeaders
    requests: RequestMetrics


def build(
    registry: Registry,
    *,
    limits: ServerLimits | None = None,
    activity: Activity | None = None,
    readiness: Mapping[str, Check] | None = None,
    write_checks: Collection[str] = (),
    is_read_only: bool = False,
    requests: RequestMetrics | None = None,
    metrics: Page | None = None,
    reports: Mapping[str, Report] | None = None,
    namespaces: Collection[str] = (),
    operators: Operators | None = None,
    operator_reports: Mapping[str, Report] | None = None,
    actions: Mapping[str, AdminAction] | None = None,
    authentication: Authentication | None = None,
    connections: ConnectionCallers | None = None,
    views: Sequence[ClientViews] = (),
    forwarded: ForwardedHeaders | None = None,
    host_setup: HostSetupPages | None = None,
    refusals: RefusedChanges | None = None,
) -> Application:
    """Build the HTTP application of a registry.

    Args:
        registry: the registry to serve. It enforces the callers' rights itself, and is closed by our caller.
        limits: limits for clients; None for the defaults.
        activity: counts what is under way within those limits; None for a private one.
        readiness: checks of ``/readyz`` by name. A check raises if its subject does not work.
        write_checks: names of those checks that only writes need.
        is_read_only: True if the registry changes nothing, which ``/readyz`` tells.
        requests: counts the answers; None for a private count.
        metrics: renders ``/metrics``; None for no such page.
        reports: reports served at ``/api/v1/NAME``, by name.
        namespaces: registries this server is a mirror of; requests naming another get 404; empty to accept all.
        operators: identifies operators; None disables the next two arguments.
        operator_reports: like ``reports``, for callers with the right to operate.
        actions: actions of ``POST /api/v1/NAME``, by name.
        authentication: identifies users and issues tokens; None without logins.
        connections: identifies callers by client certificates; None if clients show none.
        views: views of manifests by client, each wrapping those before it.
        forwarded: interprets proxy headers; None if clients connect directly.
        host_setup: pages with the CA certificate; None for no such pages.
        refusals: notes refusals in the audit; None without an audit.
    """
    forwarded = forwarded or ForwardedHeaders()
    limits = limits or ServerLimits()
    activity = activity or Activity.within(limits)
    health = Health(readiness or {}, write_checks, is_read_only=is_read_only)
    read: dict[str, Handler] = {"/healthz": health.alive, "/readyz": health.ready}
    if metrics is not None:
        read["/metrics"] = showing(metrics)
    if host_setup is not None:
        read |= {"/ca.crt": host_setup.ca_certificate, "/host-setup.sh": host_setup.script}

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
        registry,
        limits,
        activity,
        beside=beside,
        authentication=authentication,
        connections=connections,
        views=views,
        forwarded=forwarded,
    )
    # Before dispatch: a request for another registry must get 404, and no challenge.
    handle = answering_for(dispatch.handle, namespaces) if namespaces else dispatch.handle
    if forwarded.proxies:
        handle = shared(handle, forwarded, activity.requests)
    # Outermost, so that refusals of all handlers above become answers, and are counted and logged.
    handle = with_request_scope(handle, activity.in_flight, request_ids(), refusals)
    requests = requests or RequestMetrics(SharedMetrics(FAMILIES).slot())
    return Application(handle, limits, activity, forwarded, requests)


def shared(handle: Handler, forwarded: ForwardedHeaders, requests: ClientLimits) -> Handler:
    """Return a handler that enforces the limit of requests per client, and runs on behalf of the client.

    Concerns requests from trusted proxies only. :mod:`mirror.server.http_server` does both for other connections.

    Args:
        handle: the handler to wrap.
        forwarded: finds the client behind the proxy.
        requests: counts the requests per client.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if not forwarded.proxies.trust(request.remote):
            return await handle(request)
        client = forwarded.client_key(request)
        CLIENT.set(client)
        with requests.one_of(client):
            return await handle(request)

    return answer


def _only(path: str, methods: Sequence[str], handle: Handler) -> Handler:
    """Return a handler that refuses other methods."""
    allowed = ", ".join(methods)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in methods:
            raise Unsupported(f"{path} supports only {allowed}", method=request.method, allowed=allowed)
        return await handle(request)

    return answer
