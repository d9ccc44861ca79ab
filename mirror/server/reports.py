"""``/api/v1/…``: what there is to know of this server, as JSON, for programs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

#: Gives plain values, or raises an error of the tree.
Report = Callable[[], Awaitable[object]]


def reporting(report: Report) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """The handler of a report."""

    async def show(_request: web.BaseRequest) -> web.Response:
        body = json.dumps(await report()).encode()
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})

    return show
