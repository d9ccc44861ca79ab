"""Handler of ``/v2/``, which identifies the server as a registry."""

from __future__ import annotations

from aiohttp import web

from mirror.server.http import header_names
from mirror.server.request_context import RequestContext
from mirror.wire.routes import PingRoute


async def get(_context: RequestContext, _route: PingRoute) -> web.Response:
    """Confirm that this is a registry. Engines up to 19.03 send this request before any other."""
    return web.Response(body=b"{}", headers=header_names.JSON_HEADERS)
