"""A complete in-memory registry: the reference model for tests of the other implementations, and a fake."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import IO

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, errors
from mirror.oci.media_types import OCTET_STREAM
from mirror.registry.port import Blob, Entry, Page
from mirror.registry.streams import closing_stream
from mirror.registry.upload import Upload, UploadBody
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest, Span

_CHUNK_BYTES = 64 * 1024


@dataclass
class _Held:
    """Content of one repository."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)
    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    tags: dict[Tag, Digest] = field(default_factory=dict)
    uploads: dict[str, MemoryUpload] = field(default_factory=dict)


class MemoryBlob:
    """An open blob whose bytes are in memory."""

    file: IO[bytes] | None = None

    def __init__(self, content: bytes, span: Span) -> None:
        self.size_bytes = len(content)
        self.span = span
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(self.span.start, self.span.stop, _CHUNK_BYTES):
            yield self._content[start : min(start + _CHUNK_BYTES, self.span.stop)]


class MemoryUpload:
    """An upload session in memory."""

    def __init__(self, repository: Repository, held: _Held) -> None:
        self.id = str(uuid.uuid4())
        self._repository = repository
        self._held = held
        self._content = bytearray()
        self._busy = False

    @property
    def offset(self) -> int:
        return len(self._content)

    async def append(
        self, chunks: AsyncIterable[bytes], span: Span | None = None, size_bytes: int | None = None
    ) -> None:
        async with closing_stream(chunks):
            with self._writing():
                await self._append(chunks, span)

    async def _append(self, chunks: AsyncIterable[bytes], span: Span | None) -> None:
        before = self.offset
        if span is not None and span.start != before:
            raise errors.RangeInvalid(
                f"chunk begins at byte {span.start}, but the upload session holds {before} bytes", offset=before
            )
        async for chunk in chunks:  # if this raises or is cancelled, the bytes received so far are kept
            self._content += chunk
        # A chunk of the wrong length is dropped, so that the client can send it again at the same offset.
        if span is not None and self.offset != span.stop:
            received = self.offset - before
            del self._content[before:]
            raise errors.RangeInvalid(f"chunk of {received} bytes is announced as {span.chunk_range()}", offset=before)

    async def commit(self, digest: Digest, last: UploadBody | None = None) -> Descriptor:
        async with closing_stream(last.chunks) if last is not None else nullcontext():
            with self._writing():
                if last is not None:
                    await self._append(last.chunks, last.span)
                return self._commit(digest)

    def _commit(self, digest: Digest) -> Descriptor:
        # The session ends before the digest is compared: after DigestInvalid it is gone, as the port says.
        del self._held.uploads[self.id]
        content = bytes(self._content)
        actual = Digest.of(content, digest.algorithm)
        if actual != digest:
            raise errors.DigestInvalid(f"upload has digest {actual}, not {digest}", expected=digest, actual=actual)
        self._held.blobs[digest] = content
        return Descriptor(OCTET_STREAM, digest, len(content))

    async def cancel(self) -> None:
        if self.id in self._held.uploads:
            self._require_free()
            del self._held.uploads[self.id]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep other requests from writing, so that the bytes of two requests do not mix."""
        self._require_free()
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _require_free(self) -> None:
        if self.id not in self._held.uploads:
            raise errors.UploadUnknown(
                f"{self._repository} has no upload {self.id}", name=self._repository, upload=self.id
            )
        if self._busy:
            raise errors.UploadInvalid("another request is writing to the upload", upload=self.id)


class MemoryRegistry:
    """An in-memory implementation of :class:`mirror.registry.port.Registry`."""

    def __init__(self) -> None:
        self._repositories: dict[Repository, _Held] = {}

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return (await self.get_manifest(repository, target)).descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        held = self._existing(repository)
        digest = held.tags.get(target) if isinstance(target, Tag) else target
        if digest is None or digest not in held.manifests:
            raise errors.ManifestUnknown(f"{repository} has no manifest {target}", name=repository, reference=target)
        return held.manifests[digest]

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return Descriptor(OCTET_STREAM, digest, len(self._blob(repository, digest)))

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return await self.stat_blob(repository, digest)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        content = self._blob(repository, digest)
        span = Span(0, len(content)) if part is None else part.resolve(len(content))
        yield MemoryBlob(content, span)

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        held = self._repositories.setdefault(repository, _Held())
        upload = MemoryUpload(repository, held)
        held.uploads[upload.id] = upload
        return upload

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        held = self._repositories.get(repository)
        upload = held.uploads.get(upload_id) if held else None
        if upload is None:
            raise errors.UploadUnknown(f"{repository} has no upload {upload_id}", name=repository, upload=upload_id)
        return upload

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        # All repositories may be searched here, because a filter in front enforces the caller's rights.
        sources = self._repositories.values() if source is None else [self._repositories.get(source, _Held())]
        content = next((held.blobs[digest] for held in sources if digest in held.blobs), None)
        if content is None:
            return None
        self._repositories.setdefault(repository, _Held()).blobs[digest] = content
        return Descriptor(OCTET_STREAM, digest, len(content))

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        held = self._repositories.setdefault(repository, _Held())
        missing = [blob.digest for blob in manifest.blobs if blob.digest not in held.blobs]
        # The subject is not checked: it may be pushed after its referrers (distribution-spec).
        missing += [member.digest for member in manifest.manifests if member.digest not in held.manifests]
        if missing:
            raise errors.ManifestBlobUnknown(f"{repository} does not hold {missing[0]}, which the manifest names")
        held.manifests[manifest.digest] = manifest
        held.tags.update(dict.fromkeys(tags, manifest.digest))
        return ()

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        if self._existing(repository).tags.pop(tag, None) is None:
            raise errors.ManifestUnknown(f"{repository} has no tag {tag}", name=repository, reference=tag)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        held = self._existing(repository)
        if held.manifests.pop(digest, None) is None:
            raise errors.ManifestUnknown(f"{repository} has no manifest {digest}", name=repository, reference=digest)
        # A tag never points to a missing manifest.
        held.tags = {tag: target for tag, target in held.tags.items() if target != digest}

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        self._blob(repository, digest)
        del self._repositories[repository].blobs[digest]

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        # An upload session alone does not list a repository, nor do manifests that nobody can find by a name.
        names = [name for name, held in self._repositories.items() if held.blobs or held.tags]
        return _page(names, page)

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        return _page(self._existing(repository).tags, page)

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        # Not _existing(): an unknown repository has no referrers, and is not an error (distribution-spec).
        held = self._repositories.get(repository, _Held())
        found = {
            referrer.digest: referrer
            for manifest in held.manifests.values()
            if manifest.subject and manifest.subject.digest == subject
            for referrer in [manifest.as_referrer()]  # computed once for each manifest
            if artifact_type is None or referrer.artifact_type == artifact_type
        }
        digests = _page(found, page)
        return Page(tuple(found[digest] for digest in digests.entries), digests.more)

    def _existing(self, repository: Repository) -> _Held:
        held = self._repositories.get(repository)
        if held is None or not (held.blobs or held.manifests):
            raise errors.RepositoryUnknown(f"the registry has no repository {repository}", name=repository)
        return held

    def _blob(self, repository: Repository, digest: Digest) -> bytes:
        held = self._repositories.get(repository)
        if held is None or digest not in held.blobs:
            raise errors.BlobUnknown(f"{repository} has no blob {digest}", name=repository, digest=digest)
        return held.blobs[digest]


def _page(entries: Iterable[Entry], page: PageRequest) -> Page[Entry]:
    following = sorted((entry for entry in entries if page.last is None or str(entry) > page.last), key=str)
    # n=0 asks for an empty page without a link to a next one.
    return Page(tuple(following[: page.size]), more=0 < page.size < len(following))
