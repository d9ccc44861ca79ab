"""The scope of a request: it gets an id, is counted, and is answered whatever its handler raises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeAlias

from aiohttp import hdrs, web

from mirror.oci.errors import MirrorError
from mirror.runtime import logs
from mirror.server.http import error_responses, header_names
from mirror.server.http.in_flight import RequestsInFlight
from mirror.server.refused_changes import RefusedChanges
from mirror.server.request_context import ROUTE, VARIES

_CONTINUE: Final = "100-continue"

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def with_request_scope(
    handle: Handler, in_flight: RequestsInFlight, ids: Iterator[str], refusals: RefusedChanges | None = None
) -> Handler:
    """Return a handler that raises nothing but cancellation.

    Args:
        handle: the handler to wrap. It sends "100 Continue" only when reading the body, so that a refusal comes first.
        in_flight: counts the requests under way.
        ids: yields an id for each request.
        refusals: notes refusals in the audit; None without an audit.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        request_id = next(ids)
        logs.REQUEST_ID.set(request_id)
        if request.headers.get(hdrs.EXPECT, _CONTINUE).lower() != _CONTINUE:
            return error_responses.unreadable(417, "the only supported expectation is 100-continue")
        with in_flight:
            try:
                response = await handle(request)
            except MirrorError as error:
                if refusals is not None:
                    await refusals.note(request, error)
                response = _for_client(request, error_responses.refused(error, request_id, _other_methods(request)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
                response = _for_client(request, error_responses.failed(error, request_id))
        if in_flight.closing:
            response.force_close()
        return response

    return answer


def _for_client(request: web.BaseRequest, refusal: web.Response) -> web.Response:
    """Add ``Vary`` to a refusal that differs between clients, so that no cache mixes platforms."""
    if VARIES in request:
        refusal.headers[hdrs.VARY] = header_names.VARY_VALUE
    return refusal


def _other_methods(request: web.BaseRequest) -> str:
    route = request.get(ROUTE)
    return ", ".join(sorted(route.methods - {request.method})) if route else ""
