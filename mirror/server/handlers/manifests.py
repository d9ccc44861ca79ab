"""Handlers of ``/v2/NAME/manifests/TARGET`` (distribution-spec, "Pulling", "Pushing" and "Deleting Manifests")."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import lru_cache
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDict

from mirror.access.rights import AccessAction
from mirror.oci import Descriptor, Digest, Manifest, Tag
from mirror.oci.errors import ContentTooLarge, ContentTooSlow
from mirror.oci.incoming_manifest import parse_incoming
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.registry.staleness import Staleness, staleness_of
from mirror.runtime.concurrency.cpu_offload import LIGHT_BYTES
from mirror.server.handlers.not_modified import has_copy, is_served, not_modified
from mirror.server.http import header_names
from mirror.server.http.prebuilt_response import PrebuiltHead, PrebuiltResponse
from mirror.server.request_context import RequestContext
from mirror.wire import warnings
from mirror.wire.conditions import entity_tag
from mirror.wire.routes import ManifestRoute

#: Longest time for receiving a manifest while others of its client wait, in seconds.
_MOST_SECONDS: Final = 60.0


async def head(context: RequestContext, route: ManifestRoute) -> web.StreamResponse:
    """Return media type, digest and size of a manifest."""
    registry, repository = context.registry, route.repository
    found = await registry.resolve(repository, route.target)
    is_current = has_copy(context.request, found.digest)
    if is_current and await is_served(registry.get_manifest(repository, found.digest)):
        return _not_modified(context, found)
    return _answer(context, found, b"")


async def get(context: RequestContext, route: ManifestRoute) -> web.StreamResponse:
    """Return a manifest with the bytes and media type it was pushed with. ``Accept`` is ignored."""
    manifest = await context.registry.get_manifest(route.repository, route.target)
    if has_copy(context.request, manifest.digest):
        return _not_modified(context, manifest)
    return _answer(context, manifest, manifest.content)


async def put(context: RequestContext, route: ManifestRoute) -> web.Response:
    """Store a manifest and move its tags: the tag in the path, and the tags in ``?tag=``."""
    # Before the body is received: nothing is read or parsed for a caller who may not push.
    context.require(AccessAction.PUSH, route.repository)
    media_type = context.request.headers.get(hdrs.CONTENT_TYPE, "")
    digest = route.target if isinstance(route.target, Digest) else None
    tags = route.tags if isinstance(route.target, Digest) else (route.target, *route.tags)
    activity, client = context.activity, context.client
    async with AsyncExitStack() as held:
        with activity.uploading.one_of(client):
            # Large manifests are in memory completely until they are stored, so few of a client are taken at a time.
            if _may_be_large(context):
                await held.enter_async_context(activity.large_manifests.one_of(client))
            content = await _received(context)
            manifest = await activity.cpu_offload.do(client, len(content), parse_incoming, content, media_type, digest)
        advice = await context.registry.put_manifest(route.repository, manifest, tags)
    answer = CIMultiDict[str](
        {
            header_names.API_VERSION: header_names.API_VERSION_VALUE,
            hdrs.LOCATION: context.url(ManifestRoute(route.repository, manifest.digest)),
            header_names.CONTENT_DIGEST: str(manifest.digest),
        }
    )
    if manifest.subject is not None:
        answer[header_names.OCI_SUBJECT] = str(manifest.subject.digest)
    if route.tags:
        # A single header line: clients limit the number of headers they read.
        answer[header_names.OCI_TAG] = ", ".join(map(str, route.tags))
    for warning in warnings.build(advice):
        answer.add(hdrs.WARNING, warning)
    return web.Response(status=201, headers=answer)


async def delete(context: RequestContext, route: ManifestRoute) -> web.Response:
    """Delete a tag, or a manifest with every tag pointing to it."""
    if isinstance(route.target, Tag):
        await context.registry.delete_tag(route.repository, route.target)
    else:
        await context.registry.delete_manifest(route.repository, route.target)
    return web.Response(status=202, headers={header_names.API_VERSION: header_names.API_VERSION_VALUE})


def _may_be_large(context: RequestContext) -> bool:
    announced = context.request.content_length
    # A larger length than the limit is refused without receiving the body, and needs no slot.
    return context.request.body_exists and (announced is None or LIGHT_BYTES < announced <= MAX_MANIFEST_BYTES)


async def _received(context: RequestContext) -> bytes:
    content = bytearray()
    activity, begun_seconds = context.activity, context.activity.now_seconds()
    try:
        async for chunk in context.receive(MAX_MANIFEST_BYTES):
            content += chunk
            if activity.now_seconds() - begun_seconds > _MOST_SECONDS and activity.large_manifests.are_awaited(
                context.client
            ):
                activity.dawdling.add(context.client)
                raise ContentTooSlow(
                    f"the manifest took longer than {_MOST_SECONDS:g} s to arrive while other manifests of its "
                    "client waited; fix: send it again",
                    received=len(content),
                )
    except ContentTooLarge as error:
        raise ContentTooLarge(
            f"manifest is too large: at most {MAX_MANIFEST_BYTES} bytes are accepted", **error.detail
        ) from error
    return bytes(content)


def _answer(context: RequestContext, found: Manifest | Descriptor, body: bytes) -> web.StreamResponse:
    head = _head(found.media_type, found.digest, found.size_bytes, staleness_of(found))
    # Prebuilt heads are for HTTP/1.1 and are shared by all clients, so they cannot carry Vary.
    if context.request.version == HttpVersion11 and not context.varies:
        return PrebuiltResponse(head, body)
    response = web.Response(body=body or None, headers=head.fields)
    if context.varies:
        response.headers[hdrs.VARY] = header_names.VARY_VALUE
    return response


def _not_modified(context: RequestContext, found: Manifest | Descriptor) -> web.Response:
    head = _head(found.media_type, found.digest, found.size_bytes, staleness_of(found))
    answer = not_modified(found.digest, head.fields)
    if context.varies:
        answer.headers[hdrs.VARY] = header_names.VARY_VALUE
    return answer


# Headers of a manifest depend on these arguments only, and hosts pull the same manifests again and again.
@lru_cache(maxsize=4096)
def _head(media_type: str, digest: Digest, size_bytes: int, staleness: Staleness | None) -> PrebuiltHead:
    fields: dict[str, str] = {
        header_names.API_VERSION: header_names.API_VERSION_VALUE,
        hdrs.CONTENT_TYPE: media_type,
        header_names.CONTENT_DIGEST: str(digest),
        header_names.ETAG: entity_tag(digest),
    }
    if staleness is not None:
        fields[hdrs.AGE] = str(staleness.age_seconds)
        fields[hdrs.WARNING] = warnings.stale(staleness.reason)
    return PrebuiltHead(fields, size_bytes)
