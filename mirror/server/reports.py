"""``/api/v1/…``: what there is to know of this server, as JSON, for programs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from mirror.registry.rights import Action
from mirror.server import headers
from mirror.server.operators import Operators

#: Gives plain values, or raises an error of the tree.
Report = Callable[[], Awaitable[object]]


def reporting(
    report: Report, operators: Operators | None = None
) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """The handler of a report.

    Args:
        report: gives it.
        operators: tells who may operate the server, and so have the report; None: it sees itself to who may.
    """

    async def show(request: web.BaseRequest) -> web.Response:
        if operators is not None:
            (await operators.may(Action.OPERATE, request)).require(Action.OPERATE)
        body = await asyncio.to_thread(json.dumps, await report())  # of thousands of hosts it takes tens of ms
        return web.Response(
            body=body.encode(), content_type="application/json", headers={headers.CACHE_CONTROL: "no-store"}
        )

    return show
