"""``/v2/NAME/manifests/TARGET`` (distribution-spec, "Pulling manifests", "Pushing Manifests", "Deleting")."""

from __future__ import annotations

from functools import lru_cache

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import ContentTooLarge
from mirror.oci.incoming import parse_incoming
from mirror.oci.manifest import MAX_MANIFEST_BYTES, Manifest
from mirror.oci.names import Tag
from mirror.registry.rights import Action
from mirror.registry.staleness import Staleness, staleness_of
from mirror.server import headers
from mirror.server.exchange import Exchange
from mirror.server.ready import ReadyHead, ReadyResponse
from mirror.wire import warnings
from mirror.wire.routes import ManifestRoute


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
    with exchange.load.uploading.one_of(exchange.client):
        content = await _received(exchange)
        manifest = await exchange.load.heavy.do(
            exchange.client, len(content), parse_incoming, content, media_type, digest
        )
    tags = route.tags if isinstance(route.target, Digest) else (route.target, *route.tags)
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


async def _received(exchange: Exchange) -> bytes:
    content = bytearray()
    try:
        async for chunk in exchange.receive(MAX_MANIFEST_BYTES):
            content += chunk
    except ContentTooLarge as error:
        raise ContentTooLarge(
            f"manifest is too large: at most {MAX_MANIFEST_BYTES} bytes are accepted", **error.detail
        ) from error
    return bytes(content)


def _answer(exchange: Exchange, found: Manifest | Descriptor, body: bytes) -> web.StreamResponse:
    head = _head(found.media_type, found.digest, found.size_bytes, staleness_of(found))
    if exchange.request.version == HttpVersion11 and not exchange.varies:
        return ReadyResponse(head, body)
    return web.Response(body=body or None, headers=head.fields)


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
