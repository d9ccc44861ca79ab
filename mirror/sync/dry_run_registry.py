"""The destination of dry runs: a store as it would be with what a run writes to it. The store stays as it is."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NotFound
from mirror.oci.media_types import OCTET_STREAM
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Blob, Reader, Registry
from mirror.runtime.lru_cache import LruCache
from mirror.transfer.partial_store import PartialBlob, PartialStore
from mirror.transfer.referrer_copies import KeepsUnderTags
from mirror.wire.ranges import RangeRequest

#: Bytes of manifests that are remembered; those beyond are read again where they are needed again.
_MOST_REMEMBERED_BYTES = 64 * 1024 * 1024

#: Finds a blob by its digest, whichever repository holds it.
FindBlob = Callable[[Digest], Awaitable[Descriptor | None]]
#: Where a manifest or blob can be read, with its type, digest and size.
Seen = dict[Digest, tuple[Reader, Repository, Descriptor]]


class DryRunSource(DelegatingRegistry):
    """An upstream whose manifests tell where configurations can be read, and how large blobs are.

    Args:
        inner: the upstream.
        seen: told of each manifest, config and layer: where it is, type, digest and size.
    """

    def __init__(self, inner: Registry, seen: Seen) -> None:
        super().__init__(inner)
        self._seen = seen

    @property
    def keeps_referrers_under_tags(self) -> bool:
        """True where only tags lead to the upstream's referrers."""
        return isinstance(self.inner, KeepsUnderTags) and self.inner.keeps_referrers_under_tags

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        manifest = await super().get_manifest(repository, target)
        for content in (manifest.descriptor, *manifest.blobs):
            self._seen.setdefault(content.digest, (self.inner, repository, content))
        return manifest


class DryRunRegistry(DelegatingRegistry):
    """A store as it would be with what was written here; the store itself stays as it is.

    Implements :class:`mirror.registry.port.ReadWriteDeleter` and :class:`mirror.transfer.partial_store.PartialStore`.
    Uploads, which are the configurations of copies with changes, go to ``inner``, a registry in memory.

    Args:
        store: the store.
        find_blob: finds a blob that any repository of the store holds.
        downloads: tells how much the store holds of an interrupted download.
    """

    def __init__(self, store: Reader, find_blob: FindBlob, downloads: PartialStore) -> None:
        super().__init__(MemoryRegistry())
        self._store = store
        self._find_blob = find_blob
        self._downloads = downloads
        self._seen: Seen = {}
        self._blobs: dict[tuple[Repository, Digest], Descriptor] = {}
        self._blobs_anywhere: dict[Digest, Descriptor] = {}
        self._manifests: dict[tuple[Repository, Digest], Descriptor] = {}
        self._tags: dict[tuple[Repository, Tag], Digest | None] = {}
        self._remembered: LruCache[Digest, Manifest] = LruCache(_MOST_REMEMBERED_BYTES)

    def source(self, upstream: Registry) -> DryRunSource:
        """An upstream that this registry is filled from."""
        return DryRunSource(upstream, self._seen)

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        if isinstance(target, Tag) and (repository, target) in self._tags:
            digest = self._tags[repository, target]
            if digest is None:
                raise ManifestUnknown(f"{repository} has no tag {target}", name=repository, reference=target)
            target = digest
        put = self._manifests.get((repository, target)) if isinstance(target, Digest) else None
        return put or await self._store.resolve(repository, target)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        digest = (await self.resolve(repository, target)).digest
        if (repository, digest) not in self._manifests:
            return await self._store.get_manifest(repository, digest)
        if (remembered := self._remembered.get(digest)) is not None:
            return remembered
        reader, place, _ = self.seen_at(digest)
        return await reader.get_manifest(place, digest)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return self._blobs.get((repository, digest)) or await self._store.stat_blob(repository, digest)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None
    ) -> AsyncIterator[Blob]:
        if (repository, digest) in self._blobs:
            reader, repository, _ = self.seen_at(digest)
        else:
            reader = self._store
            with suppress(BlobUnknown):
                await self.inner.stat_blob(repository, digest)
                reader = self.inner
        async with reader.open_blob(repository, digest, part) as blob:
            yield blob

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        blob = self._blobs_anywhere.get(digest) if source is None else self._blobs.get((source, digest))
        if blob is None and source is None:
            blob = await self._find_blob(digest)
        elif blob is None and source is not None:
            with suppress(NotFound):
                blob = await self._store.stat_blob(source, digest)
                self._seen.setdefault(digest, (self._store, source, blob))
        return None if blob is None else self.hold(repository, blob)

    def hold(self, repository: Repository, blob: Descriptor) -> Descriptor:
        """Remember that a repository would hold a blob."""
        held = Descriptor(OCTET_STREAM, blob.digest, blob.size_bytes)
        self._blobs[repository, blob.digest] = self._blobs_anywhere[blob.digest] = held
        return held

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        self._manifests[repository, manifest.digest] = manifest.descriptor
        self._tags |= {(repository, tag): manifest.digest for tag in tags}
        self._remembered.put(manifest.digest, manifest, manifest.size_bytes)
        return ()

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        await self.resolve(repository, tag)
        self._tags[repository, tag] = None

    async def claim_download(self, repository: Repository, digest: Digest) -> DryRunDownload:
        """Begin a download of which nothing comes."""
        partial = await self._downloads.watch_download(digest)
        offset = 0 if partial is None else partial.size_bytes
        if partial is not None:
            partial.close()
        return DryRunDownload(self, repository, digest, offset)

    async def watch_download(self, digest: Digest) -> PartialBlob | None:
        """Open what the store holds of a download."""
        return await self._downloads.watch_download(digest)

    def seen_at(self, digest: Digest) -> tuple[Reader, Repository, Descriptor]:
        """Find the place of a manifest or blob by the manifests that were read. Raises BlobUnknown."""
        if digest not in self._seen:
            raise BlobUnknown(f"no manifest that was read names {digest}", digest=digest)
        return self._seen[digest]


@dataclass(frozen=True, slots=True)
class DryRunDownload:
    """A download that counts, and moves nothing. Implements :class:`mirror.transfer.partial_store.DownloadLease`.

    Attributes:
        registry, repository: where the blob would go.
        digest: the blob's digest.
        offset: bytes that the store holds of it.
    """

    registry: DryRunRegistry
    repository: Repository
    digest: Digest
    offset: int

    def partial(self) -> PartialBlob:
        """Refuse: there is nothing to read. Raises BlobUnknown."""
        raise BlobUnknown(f"nothing comes of {self.digest} in a dry run", digest=self.digest)

    async def append(self, chunks: AsyncIterable[bytes], grown: Callable[[], object]) -> None:
        """Leave the chunks where they are: whoever gives them opens the upstream's blob with the first."""

    async def verify(self) -> None:
        """Do nothing: no byte has come that could be wrong."""

    async def commit(self) -> Descriptor:
        """Remember that the repository would hold the blob."""
        return self.registry.hold(self.repository, self.registry.seen_at(self.digest)[2])

    async def drop(self) -> None:
        """Do nothing: no byte is held."""

    async def release(self) -> None:
        """Do nothing: no file is locked."""
