"""``/v2/NAME/manifests/TARGET`` (distribution-spec, "Pulling manifests", "Pushing Manifests", "Deleting")."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import lru_cache
from typing import Final

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import ContentTooLarge, ContentTooSlow
from mirror.oci.incoming import parse_incoming
from mirror.oci.manifest import MAX_MANIFEST_BYTES, Manifest
from mirror.oci.names import Tag
from mirror.registry.rights import Action
from mirror.registry.staleness import Staleness, staleness_of
from mirror.runtime.heavy_work import LIGHT_BYTES
from mirror.server import headers
from mirror.server.exchange import Exchange
from mirror.server.ready import ReadyHead, ReadyResponse
from mirror.wire import warnings
from mirror.wire.routes import ManifestRoute

#: How long a manifest may take where others wait for its place.
_MOST_SECONDS: Final = 60.0


async def head(exchange: Exchange, route: ManifestRoute) -> web.StreamResponse:
    """Type, digest and size."""
    return _answer(exchange, await exchange.registry.resolve(route.repository, route.target), b"")


async def get(exchange: Exchange, route: ManifestRoute) -> web.StreamResponse:
    """The bytes as they were pushed, with the type they were pushed with, whatever types the client prefers."""
    manifest = await exchange.registry.get_manifest(route.repository, route.target)
    return _answer(exchange, manifest, manifest.content)


async def put(exchange: Exchange, route: ManifestRoute) -> web.Response:
    """Store a manifest and move its tags: the one in the path, and those of ``?tag=``."""
    exchange.require(Action.PUSH, route.repository)
    media_type = exchange.request.headers.get(headers.CONTENT_TYPE, "")
    digest = route.target if isinstance(route.target, Digest) else None
    tags = route.tags if isinstance(route.target, Digest) else (route.target, *route.tags)
    load, client = exchange.load, exchange.client
    async with AsyncExitStack() as held:
        with load.uploading.one_of(client):
            if _may_be_large(exchange):
                await held.enter_async_context(load.large_manifests.one_of(client))
            content = await _received(exchange)
            manifest = await load.heavy.do(client, len(content), parse_incoming, content, media_type, digest)
        advice = await exchange.registry.put_manifest(route.repository, manifest, tags)
    answer = CIMultiDict[str](
        {
            headers.API_VERSION: headers.API_VERSION_VALUE,
            headers.LOCATION: ManifestRoute(route.repository, manifest.digest).url(),
            headers.CONTENT_DIGEST: str(manifest.digest),
        }
    )
    if manifest.subject is not None:
        answer[headers.OCI_SUBJECT] = str(manifest.subject.digest)
    if route.tags:
        answer[headers.OCI_TAG] = ", ".join(map(str, route.tags))  # one line: clients read only so many of them
    for warning in warnings.build(advice):
        answer.add(headers.WARNING, warning)
    return web.Response(status=201, headers=answer)


async def delete(exchange: Exchange, route: ManifestRoute) -> web.Response:
    """Remove a tag, or a manifest with every tag that points to it."""
    if isinstance(route.target, Tag):
        await exchange.registry.delete_tag(route.repository, route.target)
    else:
        await exchange.registry.delete_manifest(route.repository, route.target)
    return web.Response(status=202, headers={headers.API_VERSION: headers.API_VERSION_VALUE})


def _may_be_large(exchange: Exchange) -> bool:
    announced = exchange.request.content_length
    return exchange.request.body_exists and (announced is None or LIGHT_BYTES < announced <= MAX_MANIFEST_BYTES)


async def _received(exchange: Exchange) -> bytes:
    content = bytearray()
    load, begun_seconds = exchange.load, exchange.load.now_seconds()
    try:
        async for chunk in exchange.receive(MAX_MANIFEST_BYTES):
            content += chunk
            if load.now_seconds() - begun_seconds > _MOST_SECONDS and load.large_manifests.are_awaited(exchange.client):
                load.dawdling.add(exchange.client)
                raise ContentTooSlow(
                    f"the manifest took longer than {_MOST_SECONDS:g} s, and others of its client wait: send it again",
                    received=len(content),
                )
    except ContentTooLarge as error:
        raise ContentTooLarge(
            f"manifest is too large: at most {MAX_MANIFEST_BYTES} bytes are accepted", **error.detail
        ) from error
    return bytes(content)


def _answer(exchange: Exchange, found: Manifest | Descriptor, body: bytes) -> web.StreamResponse:
    head = _head(found.media_type, found.digest, found.size_bytes, staleness_of(found))
    if exchange.request.version == HttpVersion11 and not exchange.varies:
        return ReadyResponse(head, body)
    response = web.Response(body=body or None, headers=head.fields)
    if exchange.varies:
        response.headers[headers.VARY] = headers.VARY_VALUE
    return response


@lru_cache(maxsize=4096)
def _head(media_type: str, digest: Digest, size_bytes: int, staleness: Staleness | None) -> ReadyHead:
    fields: dict[str, str] = {
        headers.API_VERSION: headers.API_VERSION_VALUE,
        headers.CONTENT_TYPE: media_type,
        headers.CONTENT_DIGEST: str(digest),
    }
    if staleness is not None:
        fields[headers.AGE] = str(staleness.age_seconds)
        fields[headers.WARNING] = warnings.stale(staleness.reason)
    return ReadyHead(fields, size_bytes)
