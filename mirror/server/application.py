"""The web application: the distribution API, and the two paths for those who watch over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from mirror.registry.port import Registry
from mirror.server.answering import answering
from mirror.server.dispatch import Dispatch, expect
from mirror.server.health import Check, Health
from mirror.server.in_flight import InFlight
from mirror.server.limits import Limits

IN_FLIGHT: Final = web.AppKey("in_flight", InFlight)
LIMITS: Final = web.AppKey("limits", Limits)


def build(
    registry: Registry, *, limits: Limits | None = None, readiness: Mapping[str, Check] | None = None
) -> web.Application:
    """Put a registry behind HTTP.

    Args:
        registry: what is served; who may do what is its affair.
        limits: ceilings; the defaults where none are given.
        readiness: checks of ``/readyz``, by name; each raises where what it looks at does not work.

    Returns:
        An application for :func:`mirror.server.serve.serving`. The registry is the caller's to close.
    """
    in_flight = InFlight()
    application = web.Application(middlewares=[answering(in_flight)])
    application[IN_FLIGHT] = in_flight
    application[LIMITS] = limits or Limits()
    health = Health(readiness or {})
    application.router.add_get("/healthz", health.alive)
    application.router.add_get("/readyz", health.ready)
    dispatch = Dispatch(registry, application[LIMITS])
    application.router.add_route("*", "/{path:.*}", dispatch.handle, expect_handler=expect)
    return application
