"""Destination of dry runs: the store as it would be after the run. The store itself is not changed."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NotFound
from mirror.oci.media_types import OCTET_STREAM
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Blob, Reader, Registry
from mirror.runtime.lru_cache import LruCache
from mirror.transfer.partial_store import PartialBlob, PartialStore
from mirror.transfer.referrer_copies import keeps_under_tags
from mirror.wire.ranges import RangeRequest

#: Bytes of manifests kept in memory for second targets. Manifests beyond are read from the upstream again (ADR 25).
_MOST_REMEMBERED_BYTES = 64 * 1024 * 1024

#: Finds a blob by its digest in any repository, as the store's mount without a source does.
FindBlob = Callable[[Digest], Awaitable[Descriptor | None]]
#: Raises Protected for a tag that may not be deleted from the store.
CheckDeletable = Callable[[Repository, Tag], Awaitable[None]]
#: Registry and repository where a manifest or blob can be read, with its media type, digest and size.
Seen = dict[Digest, tuple[Reader, Repository, Descriptor]]


class DryRunSource(DelegatingRegistry):
    """Upstream whose manifests are recorded as the places and sizes of configs and layers.

    Args:
        inner: the upstream.
        seen: receives place, media type, digest and size of each manifest, config and layer.
    """

    def __init__(self, inner: Registry, seen: Seen) -> None:
        super().__init__(inner)
        self._seen = seen

    @property
    def keeps_referrers_under_tags(self) -> bool:
        """True if the upstream's referrers are only found through tags."""
        return keeps_under_tags(self.inner)

    def open_url(
        self, url: str, layer: Descriptor, part: RangeRequest | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        """Refuse, because a dry run downloads nothing. Raises BlobUnknown."""
        raise BlobUnknown(f"a dry run downloads nothing of {layer.digest}", digest=layer.digest)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        manifest = await super().get_manifest(repository, target)
        for content in (manifest.descriptor, *manifest.blobs, *manifest.foreign_layers):
            self._seen.setdefault(content.digest, (self.inner, repository, content))
        return manifest


class DryRunRegistry(DelegatingRegistry):
    """The store as it would be with the content "written" here. The store itself is not changed.

    Implements :class:`mirror.registry.port.ReadWriteDeleter` and :class:`mirror.transfer.partial_store.PartialStore`.
    Uploads, which are the configs of copies with changes, go to ``inner``, a registry in memory.

    Args:
        store: the store.
        find_blob: finds a blob held by any repository of the store.
        downloads: tells how many bytes of an interrupted download the store holds.
        check_deletable: checks that the store would delete a tag.
    """

    def __init__(
        self, store: Reader, find_blob: FindBlob, downloads: PartialStore, check_deletable: CheckDeletable
    ) -> None:
        super().__init__(MemoryRegistry())
        self._store = store
        self._find_blob = find_blob
        self._downloads = downloads
        self._check_deletable = check_deletable
        self._seen: Seen = {}
        self._blobs: dict[tuple[Repository, Digest], Descriptor] = {}
        self._blobs_anywhere: dict[Digest, Descriptor] = {}
        self._manifests: dict[tuple[Repository, Digest], Descriptor] = {}
        # None marks a tag that the run would have deleted: it hides the tag of the store.
        self._tags: dict[tuple[Repository, Tag], Digest | None] = {}
        self._remembered: LruCache[Digest, Manifest] = LruCache(_MOST_REMEMBERED_BYTES)

    def source(self, upstream: Registry) -> DryRunSource:
        """Wrap an upstream from which this registry is filled."""
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
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        if (repository, digest) in self._blobs:
            reader, repository, _ = self.seen_at(digest)
        else:
            reader = self._store
            # Configs of copies with changes exist only in memory.
            with suppress(BlobUnknown):
                await self.inner.stat_blob(repository, digest)
                reader = self.inner
        async with reader.open_blob(repository, digest, part, size_bytes) as blob:
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
        """Remember a blob as held by a repository."""
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
        await self._check_deletable(repository, tag)
        self._tags[repository, tag] = None

    async def claim_download(self, repository: Repository, digest: Digest) -> DryRunDownload:
        """Begin a download without content. Its offset is the number of bytes held by the store."""
        partial = await self._downloads.watch_download(digest)
        offset = 0 if partial is None else partial.size_bytes
        if partial is not None:
            partial.close()
        return DryRunDownload(self, repository, digest, offset)

    async def require_room(self, blobs: Sequence[Descriptor]) -> None:
        """Check that the missing bytes fit on the disk of the store. Raises StorageFull."""
        await self._downloads.require_room(blobs)

    async def watch_download(self, digest: Digest) -> PartialBlob | None:
        """Open the bytes of a download held by the store."""
        return await self._downloads.watch_download(digest)

    def assumed_tags(self, repository: Repository) -> dict[Tag, Digest | None]:
        """Return the tags of a repository that were set here, or deleted (None)."""
        return {tag: digest for (name, tag), digest in self._tags.items() if name == repository}

    def seen_at(self, digest: Digest) -> tuple[Reader, Repository, Descriptor]:
        """Return the place of a manifest or blob, found through the manifests read so far.

        Raises:
            BlobUnknown: no manifest read so far names the digest.
        """
        if digest not in self._seen:
            raise BlobUnknown(f"no manifest that was read names {digest}", digest=digest)
        return self._seen[digest]


@dataclass(frozen=True, slots=True)
class DryRunDownload:
    """Download that counts bytes and moves nothing. Implements :class:`mirror.transfer.partial_store.DownloadLease`.

    Attributes:
        registry: registry of the dry run.
        repository: repository the blob would go to.
        digest: digest of the blob.
        offset: bytes of the blob held by the store.
    """

    registry: DryRunRegistry
    repository: Repository
    digest: Digest
    offset: int

    def partial(self) -> PartialBlob:
        """Refuse, because there are no bytes to read. Raises BlobUnknown."""
        raise BlobUnknown(f"a dry run downloads nothing of {self.digest}", digest=self.digest)

    async def expect(self, size_bytes: int) -> None:
        """Do nothing, because nothing is written."""

    async def append(self, chunks: AsyncIterable[bytes], grown: Callable[[], object]) -> None:
        """Ignore the chunks. The upstream's blob is only opened with the first chunk, so nothing is requested."""

    async def verify(self) -> None:
        """Do nothing, because no byte was received."""

    async def commit(self) -> Descriptor:
        """Remember the blob as held by the repository."""
        return self.registry.hold(self.repository, self.registry.seen_at(self.digest)[2])

    async def drop(self) -> None:
        """Do nothing, because no byte is held."""

    async def release(self) -> None:
        """Do nothing, because no file is locked."""
