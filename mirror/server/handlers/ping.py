"""``GET /v2/``: this is a registry."""

from __future__ import annotations

from aiohttp import web

from mirror.server.http import header_names
from mirror.server.request_context import RequestContext
from mirror.wire.routes import PingRoute


async def get(_context: RequestContext, _route: PingRoute) -> web.Response:
    """Say so. Engines up to 19.03 ask before anything else."""
    return web.Response(body=b"{}", headers=header_names.JSON_HEADERS)
