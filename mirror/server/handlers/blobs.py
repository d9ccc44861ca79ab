"""Handlers of ``/v2/NAME/blobs/DIGEST`` (distribution-spec, "Pulling blobs", "Deleting Blobs")."""

from __future__ import annotations

from aiohttp import hdrs, web

from mirror.oci import Digest
from mirror.oci.media_types import OCTET_STREAM
from mirror.server.handlers.blob_response import BlobResponse
from mirror.server.handlers.not_modified import has_copy, is_served, not_modified
from mirror.server.http import header_names
from mirror.server.request_context import RequestContext
from mirror.wire.conditions import entity_tag, if_range_matches
from mirror.wire.ranges import RangeRequest
from mirror.wire.routes import BlobRoute


async def head(context: RequestContext, route: BlobRoute) -> web.Response:
    """Return digest and size of a blob."""
    registry, repository, digest = context.registry, route.repository, route.digest
    found = await registry.stat_blob(repository, digest)
    if has_copy(context.request, digest) and await is_served(registry.stat_pullable_blob(repository, digest)):
        return not_modified(digest, {})
    return web.Response(headers=_headers(digest, found.size_bytes))


async def get(context: RequestContext, route: BlobRoute) -> web.StreamResponse:
    """Return a blob, or the part of it named by ``Range``."""
    request = context.request
    if has_copy(request, route.digest):
        # Not opened: the blob would be fetched from an upstream for a client that has it.
        await context.registry.stat_pullable_blob(route.repository, route.digest)
        return not_modified(route.digest, {})
    part = _wanted_part(request, route.digest)
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


def _wanted_part(request: web.BaseRequest, digest: Digest) -> RangeRequest | None:
    headers = request.headers
    if hdrs.IF_RANGE in headers and not if_range_matches(headers[hdrs.IF_RANGE], digest):
        return None  # the client has a part of other content, so it gets the whole (RFC 9110, section 13.1.5)
    return RangeRequest.parse(headers.get(hdrs.RANGE))


def _headers(digest: Digest, size_bytes: int) -> dict[str, str]:
    return {
        header_names.API_VERSION: header_names.API_VERSION_VALUE,
        hdrs.CONTENT_TYPE: OCTET_STREAM,
        hdrs.CONTENT_LENGTH: str(size_bytes),
        header_names.CONTENT_DIGEST: str(digest),
        header_names.ETAG: entity_tag(digest),
        hdrs.ACCEPT_RANGES: "bytes",
    }
