"""``/v2/NAME/blobs/DIGEST`` (distribution-spec, "Pulling blobs", "Deleting Blobs")."""

from __future__ import annotations

from aiohttp import web

from mirror.oci.digest import Digest
from mirror.oci.media_types import OCTET_STREAM
from mirror.server import headers
from mirror.server.exchange import Exchange
from mirror.server.transmission import BlobResponse
from mirror.wire.ranges import RangeRequest
from mirror.wire.routes import BlobRoute


async def head(exchange: Exchange, route: BlobRoute) -> web.Response:
    """Digest and size."""
    found = await exchange.registry.stat_blob(route.repository, route.digest)
    return web.Response(headers=_headers(route.digest, found.size_bytes))


async def get(exchange: Exchange, route: BlobRoute) -> web.StreamResponse:
    """The bytes, or the part of them that ``Range`` names."""
    request = exchange.request
    # There is no validator that If-Range could hold, so it never matches, and Range does not count.
    part = None if headers.IF_RANGE in request.headers else RangeRequest.parse(request.headers.get(headers.RANGE))
    response: BlobResponse | None = None
    try:
        async with exchange.registry.open_blob(route.repository, route.digest, part) as blob:
            answer = _headers(route.digest, blob.span.size_bytes)
            if part is not None:
                answer[headers.CONTENT_RANGE] = blob.span.content_range(blob.size_bytes)
            response = BlobResponse(200 if part is None else 206, answer)
            await response.prepare(request)
            await response.send(request, blob)
    except Exception as error:
        if response is None or not response.prepared:
            raise
        response.break_off(request, error)
    return response


async def delete(exchange: Exchange, route: BlobRoute) -> web.Response:
    """Remove it from this repository."""
    await exchange.registry.delete_blob(route.repository, route.digest)
    return web.Response(status=202, headers={headers.API_VERSION: headers.API_VERSION_VALUE})


def _headers(digest: Digest, size_bytes: int) -> dict[str, str]:
    return {
        headers.API_VERSION: headers.API_VERSION_VALUE,
        headers.CONTENT_TYPE: OCTET_STREAM,
        headers.CONTENT_LENGTH: str(size_bytes),
        headers.CONTENT_DIGEST: str(digest),
        headers.ACCEPT_RANGES: "bytes",
    }
