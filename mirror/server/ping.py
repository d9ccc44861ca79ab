"""``GET /v2/``: this is a registry."""

from __future__ import annotations

from aiohttp import web

from mirror.server import headers
from mirror.server.exchange import Exchange
from mirror.wire.routes import PingRoute


async def get(_exchange: Exchange, _route: PingRoute) -> web.Response:
    """Say so. Engines up to 19.03 ask before anything else."""
    return web.Response(
        body=b"{}",
        headers={headers.API_VERSION: headers.API_VERSION_VALUE, headers.CONTENT_TYPE: "application/json"},
    )
