"""Reports under ``GET /api/v1/…``, as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from mirror.access.rights import AccessAction
from mirror.runtime.concurrency.cpu_offload import LIGHT_BYTES
from mirror.server.api.operators import Operators
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.http.activity import Activity

#: Returns plain values, or finished JSON as bytes. Raises MirrorError.
Report = Callable[[], Awaitable[object]]

#: Assumed size of a report without finished JSON: always large enough to be serialised in a thread.
_HEAVY_BYTES = LIGHT_BYTES + 1


def report_handler(
    report: Report, activity: Activity, forwarded: ForwardedHeaders, operators: Operators | None = None
) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """Return the HTTP handler of a report.

    Args:
        report: builds the report.
        activity: the current activity of the process.
        forwarded: finds the client's address.
        operators: checks the right to operate; None if the report checks the caller itself.
    """

    async def show(request: web.BaseRequest) -> web.Response:
        if operators is not None:
            (await operators.may(AccessAction.OPERATE, request)).require(AccessAction.OPERATE)
        body = await report()
        if not isinstance(body, bytes):  # serialising thousands of hosts takes tens of milliseconds
            body = await activity.cpu_offload.do(forwarded.client_key(request), _HEAVY_BYTES, _in_json, body)
        return web.Response(body=body, content_type="application/json", headers={hdrs.CACHE_CONTROL: "no-store"})

    return show


def guarded(report: Report, may_look: Callable[[], Awaitable[object]]) -> Report:
    """Return a report for callers who may list repositories. The report shows no names beyond that list."""

    async def give() -> object:
        await may_look()
        return await report()

    return give


def _in_json(values: object) -> bytes:
    return json.dumps(values).encode()
