"""What every request passes through: it gets a name, is counted, and is answered whatever its handler raises."""

from __future__ import annotations

from collections.abc import Iterator

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mirror.oci.errors import MirrorError
from mirror.server import errors
from mirror.server.exchange import REQUEST_ID, ROUTE
from mirror.server.in_flight import InFlight


def answering(in_flight: InFlight, ids: Iterator[str]) -> Middleware:
    """The middleware. Only cancellation leaves it.

    Args:
        in_flight: told of every request that begins and ends.
        ids: a name for each.
    """

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request[REQUEST_ID] = next(ids)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        with in_flight:
            try:
                response = await handler(request)
            except MirrorError as error:
                response = errors.refused(error, request_id, _other_methods(request))
            except web.HTTPClientError as error:
                response = errors.not_served(error, request.path)
            except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
                response = errors.failed(error, request_id)
        if in_flight.closing:
            response.force_close()
        return response

    return answer


def _other_methods(request: web.Request) -> str:
    route = request.get(ROUTE)
    return ", ".join(sorted(route.methods - {request.method})) if route else ""
