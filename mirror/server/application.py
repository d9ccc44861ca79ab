"""The web application: the distribution API, and the paths for those who watch over it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NoReturn

from aiohttp import web

from mirror.oci.errors import Unsupported
from mirror.registry.port import Registry
from mirror.runtime.metrics import Figures
from mirror.server.answering import answering
from mirror.server.dispatch import Dispatch, expecting
from mirror.server.exchange import request_ids
from mirror.server.health import Check, Health
from mirror.server.limits import Limits
from mirror.server.load import Load
from mirror.server.metrics import FAMILIES, Page, RequestFigures, showing
from mirror.server.reports import Report, reporting

LIMITS: Final = web.AppKey("limits", Limits)
LOAD: Final = web.AppKey("load", Load)
REQUESTS: Final = web.AppKey("requests", RequestFigures)


def build(
    registry: Registry,
    *,
    limits: Limits | None = None,
    load: Load | None = None,
    readiness: Mapping[str, Check] | None = None,
    requests: RequestFigures | None = None,
    metrics: Page | None = None,
    reports: Mapping[str, Report] | None = None,
) -> web.Application:
    """Put a registry behind HTTP.

    Args:
        registry: what is served; who may do what is its affair.
        limits: ceilings; the defaults where none are given.
        load: counts what is under way, within those limits; its own where nobody else looks at it.
        readiness: checks of ``/readyz``, by name; each raises where what it looks at does not work.
        requests: counts the answers; nobody sees the count where it is not given.
        metrics: the page ``/metrics``; there is none where it is not given.
        reports: what ``/api/v1/NAME`` gives, by name.

    Returns:
        An application for :func:`mirror.server.serve.serving`. The registry is the caller's to close.
    """
    limits = limits or Limits()
    load, ids = load or Load.within(limits), request_ids()
    application = web.Application(middlewares=[answering(load.in_flight, ids)])
    application[LIMITS] = limits
    application[LOAD] = load
    application[REQUESTS] = requests or RequestFigures(Figures(FAMILIES).share())
    health = Health(readiness or {})
    _watched(application, "/healthz", health.alive)
    _watched(application, "/readyz", health.ready)
    if metrics is not None:
        _watched(application, "/metrics", showing(metrics))
    for name, report in (reports or {}).items():
        _watched(application, f"/api/v1/{name}", reporting(report))
    dispatch = Dispatch(registry, limits, load.uploading)
    application.router.add_route("*", "/{path:(?s:.*)}", dispatch.handle, expect_handler=expecting(ids))
    return application


def _watched(
    application: web.Application, path: str, show: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> None:
    async def refuse(request: web.Request) -> NoReturn:
        raise Unsupported(f"{path} is only read: GET, HEAD", method=request.method, allowed="GET, HEAD")

    application.router.add_get(path, show)
    application.router.add_route("*", path, refuse)
