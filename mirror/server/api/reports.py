"""``/api/v1/…``: what there is to know of this server, as JSON, for programs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from mirror.access.rights import AccessAction
from mirror.runtime.concurrency.cpu_offload import LIGHT_BYTES
from mirror.server.api.operators import Operators
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.http.activity import Activity

#: Gives plain values, or JSON, or raises an error of the tree.
Report = Callable[[], Awaitable[object]]

#: How large a report counts, whose JSON is not there yet.
_HEAVY_BYTES = LIGHT_BYTES + 1


def report_handler(
    report: Report, activity: Activity, forwarded: ForwardedHeaders, operators: Operators | None = None
) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """The handler of a report.

    Args:
        report: gives it.
        activity: what the server has under way.
        forwarded: knows the client that asks.
        operators: tells who may operate the server, and so have the report; None: it sees itself to who may.
    """

    async def show(request: web.BaseRequest) -> web.Response:
        if operators is not None:
            (await operators.may(AccessAction.OPERATE, request)).require(AccessAction.OPERATE)
        body = await report()
        if not isinstance(body, bytes):  # thousands of hosts take tens of ms
            body = await activity.cpu_offload.do(forwarded.client_key(request), _HEAVY_BYTES, _in_json, body)
        return web.Response(body=body, content_type="application/json", headers={hdrs.CACHE_CONTROL: "no-store"})

    return show


def guarded(report: Report, may_look: Callable[[], Awaitable[object]]) -> Report:
    """A report for callers who may list repositories: it tells no more of names than that does."""

    async def give() -> object:
        await may_look()
        return await report()

    return give


def _in_json(values: object) -> bytes:
    return json.dumps(values).encode()
