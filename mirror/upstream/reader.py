"""Reading from an upstream (distribution-spec, "Pulling manifests", "Pulling blobs")."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from typing import Final

from cachetools import LRUCache

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import BlobUnknown, ManifestUnknown, UpstreamProtocolError
from mirror.oci.incoming_manifest import parse_incoming
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.registry.port import Blob
from mirror.runtime.concurrency.cpu_offload import CpuOffload
from mirror.upstream.blob_download import UpstreamBlob, head_of_blob, open_part, whole_size
from mirror.upstream.head_requests import HeadRequests
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.upstream_session import UpstreamSession
from mirror.wire.auth.scopes import repository_scope
from mirror.wire.ranges import RangeRequest, Span, parse_content_range
from mirror.wire.routes import ManifestRoute

_ACCEPT = {"Accept": ", ".join(media_types.MANIFESTS)}
# Manifests resolved by GET whose entity tags are remembered, and the longest such tag in characters.
_MOST_RESOLVED: Final = 10_000
_LONGEST_ENTITY_TAG: Final = 256


class UpstreamReader:
    """The reading part of an upstream. Implements :class:`mirror.registry.port.Reader`.

    Also raises the errors of :meth:`UpstreamSession.send`.
    """

    def __init__(self, session: UpstreamSession) -> None:
        self._session = session
        self._cpu_offload = CpuOffload()
        self._manifest_heads = HeadRequests(session, "manifest")
        self._blob_heads = HeadRequests(session, "blob")
        self._resolved: LRUCache[str, tuple[str, Descriptor]] = LRUCache(_MOST_RESOLVED)

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        async def get() -> Descriptor:
            return await self._resolve_by_get(repository, target)

        request = self._manifest_request("HEAD", repository, target)
        described = partial(_described, self._session, target)
        return await self._manifest_heads.find(request, ManifestUnknown, described, get)

    async def _resolve_by_get(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        """Resolve with a GET. After an ``ETag``, the upstream sends the manifest only if it has changed."""
        request = self._manifest_request("GET", repository, target)
        entity_tag, known = self._resolved.get(request.url, ("", None))
        if known is None:
            answer, content = await self._read_manifest(request)
        else:
            conditional = replace(request, headers={**request.headers, "If-None-Match": entity_tag})
            answer, content = await self._read_manifest(conditional, expect=frozenset({200, 304}))
            if answer.status == 304:
                return known
        found = (await self._parsed(repository, target, answer, content)).descriptor
        entity_tag = answer.headers.get("ETag", "")
        if 0 < len(entity_tag) <= _LONGEST_ENTITY_TAG:
            self._resolved[request.url] = entity_tag, found
        return found

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        answer, content = await self._read_manifest(self._manifest_request("GET", repository, target))
        return await self._parsed(repository, target, answer, content)

    async def _read_manifest(
        self, request: Request, *, expect: frozenset[int] = frozenset({200})
    ) -> tuple[Answer, bytes]:
        return await self._session.read(request, MAX_MANIFEST_BYTES, expect=expect, missing=ManifestUnknown)

    async def _parsed(self, repository: Repository, target: Tag | Digest, answer: Answer, content: bytes) -> Manifest:
        with self._session.as_upstream_error(answer):
            digest = target if isinstance(target, Digest) else _named_digest(answer)
            return await self._cpu_offload.do(
                repository, len(content), parse_incoming, content, _manifest_type(answer), digest
            )

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        async def get() -> int:
            # The head of a GET has the size, and its body is not read. A body in chunks has no size, but the answer to
            # a Range tells the size of the whole.
            for part in (None, RangeRequest(0, 0)):
                with closing(await open_part(self._session, repository, digest, part)) as answer:
                    size_bytes = whole_size(answer)
                    if size_bytes is not None:
                        return size_bytes
            raise answer.error(
                UpstreamProtocolError,
                "the size of the blob is missing (Content-Length); fix: pull a manifest that names it first",
            )

        described = partial(_size_of_blob, digest)
        size_bytes = await self._blob_heads.find(head_of_blob(repository, digest), BlobUnknown, described, get)
        return Descriptor(media_types.OCTET_STREAM, digest, size_bytes)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        with closing(await open_part(self._session, repository, digest, part)) as answer:
            told_bytes = whole_size(answer)
            if told_bytes is not None:
                size_bytes = told_bytes
            elif size_bytes is None:
                size_bytes = (await self.stat_blob(repository, digest)).size_bytes
            span = _given_span(answer, part, size_bytes)
            with closing(UpstreamBlob(self._session, repository, digest, size_bytes, span)) as blob:
                blob.begin(answer)
                yield blob

    def _manifest_request(self, method: str, repository: Repository, target: Tag | Digest) -> Request:
        url = ManifestRoute(repository, target).url()
        return Request(method, url, (repository_scope(repository, "pull"),), _ACCEPT, counts=method == "GET")


def _described(session: UpstreamSession, target: Tag | Digest, answer: Answer) -> Descriptor | None:
    """Return the descriptor of a manifest from the answer to a HEAD, or None if a GET is needed."""
    kind = media_types.essence(answer.headers.get("Content-Type", ""))
    size_bytes = answer.size_bytes()
    with session.as_upstream_error(answer):
        digest = _named_digest(answer)
    # A manifest is a JSON object, so a length of 0 is that of the missing body.
    if digest is None or size_bytes is None or not 2 <= size_bytes <= MAX_MANIFEST_BYTES:
        return None
    if kind not in media_types.MANIFESTS:
        return None
    if isinstance(target, Digest) and digest != target:
        # A digest of another algorithm may still name the same bytes. Only their content can tell, so a GET follows.
        if digest.algorithm == target.algorithm:
            raise answer.error(UpstreamProtocolError, f"it answered with digest {digest}")
        return None
    return Descriptor(kind, digest, size_bytes)


def _size_of_blob(digest: Digest, answer: Answer) -> int | None:
    """Return the size of a blob from the answer to a HEAD, or None if a GET is needed."""
    size_bytes = answer.size_bytes()
    # A length of 0 is that of the missing body, unless the blob is the empty one.
    return None if size_bytes == 0 and digest != Digest.of(b"", digest.algorithm) else size_bytes


def _given_span(answer: Answer, part: RangeRequest | None, size_bytes: int) -> Span:
    span = Span(0, size_bytes) if part is None else part.resolve(size_bytes)
    placed = parse_content_range(answer.headers.get("Content-Range")) if answer.status == 206 else None
    # An upstream may send less than requested. The rest is requested later.
    if placed is not None and (placed[0].start != span.start or placed[0].stop > span.stop):
        raise answer.error(UpstreamProtocolError, f"it sent {placed[0].content_range(size_bytes)} instead of {part}")
    return span


def _named_digest(answer: Answer) -> Digest | None:
    text = answer.headers.get("Docker-Content-Digest")
    return Digest.parse(text) if text else None


def _manifest_type(answer: Answer) -> str:
    return media_types.essence(answer.headers.get("Content-Type", ""))
