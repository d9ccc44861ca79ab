"""Handlers of ``/v2/NAME/blobs/DIGEST`` (distribution-spec, "Pulling blobs", "Deleting Blobs")."""

from __future__ import annotations

from aiohttp import hdrs, web

from mirror.oci import Digest
from mirror.oci.media_types import OCTET_STREAM
from mirror.server.handlers.blob_response import BlobResponse
from mirror.server.http import header_names
from mirror.server.request_context import RequestContext
from mirror.wire.ranges import RangeRequest
from mirror.wire.routes import BlobRoute


async def head(context: RequestContext, route: BlobRoute) -> web.Response:
    """Return digest and size of a blob."""
    found = await context.registry.stat_blob(route.repository, route.digest)
    return web.Response(headers=_headers(route.digest, found.size_bytes))


async def get(context: RequestContext, route: BlobRoute) -> web.StreamResponse:
    """Return a blob, or the part of it named by ``Range``."""
    request = context.request
    # We send no validators, so If-Range never matches and Range is ignored (RFC 9110, section 13.1.5).
    part = None if hdrs.IF_RANGE in request.headers else RangeRequest.parse(request.headers.get(hdrs.RANGE))
    response: BlobResponse | None = None
    try:
        async with context.registry.open_blob(route.repository, route.digest, part) as blob:
            answer = _headers(route.digest, blob.span.size_bytes)
            if part is not None:
                answer[hdrs.CONTENT_RANGE] = blob.span.content_range(blob.size_bytes)
            response = BlobResponse(200 if part is None else 206, answer)
            await response.prepare(request)
            await response.send(request, blob)
    except Exception as error:
        if response is None or not response.prepared:  # nothing was sent yet, so the client can get an error answer
            raise
        response.break_off(request, error)
    return response


async def delete(context: RequestContext, route: BlobRoute) -> web.Response:
    """Delete a blob from this repository."""
    await context.registry.delete_blob(route.repository, route.digest)
    return web.Response(status=202, headers={header_names.API_VERSION: header_names.API_VERSION_VALUE})


def _headers(digest: Digest, size_bytes: int) -> dict[str, str]:
    return {
        header_names.API_VERSION: header_names.API_VERSION_VALUE,
        hdrs.CONTENT_TYPE: OCTET_STREAM,
        hdrs.CONTENT_LENGTH: str(size_bytes),
        header_names.CONTENT_DIGEST: str(digest),
        hdrs.ACCEPT_RANGES: "bytes",
    }
