"""Handlers of ``/v2/NAME/blobs/uploads/…`` (distribution-spec, "Pushing blobs", "Mounting", "Cancel").

The registry keeps the offset of a session. The session's URL never changes, so an old ``Location`` remains valid.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from mirror.access.rights import AccessAction
from mirror.oci import Digest, Repository
from mirror.oci.errors import DigestInvalid, TooManyRequests
from mirror.registry.upload import Upload, UploadBody
from mirror.server.http import header_names
from mirror.server.request_context import RequestContext
from mirror.wire.ranges import parse_chunk_range, upload_range
from mirror.wire.routes import BlobRoute, UploadRoute, UploadsRoute


async def post(context: RequestContext, route: UploadsRoute) -> web.Response:
    """Mount a blob, store a whole blob, or begin an upload session."""
    registry, repository = context.registry, route.repository
    # A mount that fails is not an error: the client gets a usable session instead (distribution-spec).
    if route.mount is not None and await registry.mount_blob(repository, route.mount, route.source) is not None:
        return _created(context, repository, route.mount)
    try:
        upload = await registry.begin_upload(repository, client=context.client)
    except TooManyRequests:
        context.activity.beginning.add(context.client)
        raise
    if route.digest is None:
        return _session(context, 202, repository, upload)
    try:
        await _append(context, upload)
    except Exception:
        # The client does not know the session's id and could never continue it.
        await upload.cancel()
        raise
    await upload.commit(route.digest)
    return _created(context, repository, route.digest)


async def get(context: RequestContext, route: UploadRoute) -> web.Response:
    """Return the offset of an upload session."""
    upload = await context.registry.resume_upload(route.repository, route.upload_id)
    return _session(context, 204, route.repository, upload)


async def patch(context: RequestContext, route: UploadRoute) -> web.Response:
    """Append a chunk, or a stream of any length if there is no ``Content-Range``."""
    upload = await context.registry.resume_upload(route.repository, route.upload_id)
    await _append(context, upload)
    return _session(context, 202, route.repository, upload)


async def put(context: RequestContext, route: UploadRoute) -> web.Response:
    """Close an upload session. The body may hold the last chunk, the whole blob, or nothing."""
    # Before the body is received: nothing is taken from a caller who may not push.
    context.require(AccessAction.PUSH, route.repository)
    if route.digest is None:
        raise DigestInvalid(
            "a PUT that completes an upload session needs ?digest=ALGORITHM:HEX", upload=route.upload_id
        )
    upload = await context.registry.resume_upload(route.repository, route.upload_id)
    if context.request.body_exists:
        with context.activity.uploading.one_of(context.client):
            await upload.commit(route.digest, _received(context, upload))
    else:
        await upload.commit(route.digest)
    return _created(context, route.repository, route.digest)


async def delete(context: RequestContext, route: UploadRoute) -> web.Response:
    """Cancel an upload session and drop its bytes."""
    upload = await context.registry.resume_upload(route.repository, route.upload_id)
    await upload.cancel()
    return web.Response(status=204, headers={header_names.API_VERSION: header_names.API_VERSION_VALUE})


async def _append(context: RequestContext, upload: Upload) -> None:
    with context.activity.uploading.one_of(context.client):
        body = _received(context, upload)
        await upload.append(body.chunks, body.span, body.size_bytes)


def _received(context: RequestContext, upload: Upload) -> UploadBody:
    content_range = context.request.headers.get(hdrs.CONTENT_RANGE)
    span = parse_chunk_range(content_range) if content_range else None
    chunks = context.receive(context.limits.blob_bytes, upload.offset)
    return UploadBody(chunks, span, context.request.content_length)


def _session(context: RequestContext, status: int, repository: Repository, upload: Upload) -> web.Response:
    return web.Response(
        status=status,
        headers={
            header_names.API_VERSION: header_names.API_VERSION_VALUE,
            hdrs.LOCATION: context.url(UploadRoute(repository, upload.id)),
            hdrs.RANGE: upload_range(upload.offset),
            header_names.UPLOAD_UUID: upload.id,
        },
    )


def _created(context: RequestContext, repository: Repository, digest: Digest) -> web.Response:
    return web.Response(
        status=201,
        headers={
            header_names.API_VERSION: header_names.API_VERSION_VALUE,
            hdrs.LOCATION: context.url(BlobRoute(repository, digest)),
            header_names.CONTENT_DIGEST: str(digest),
        },
    )
