"""Dry runs: the runs themselves, against a destination and a journal that keep nothing.

A dry run takes every step of a run. Manifests and the configurations of plugins are read from the upstream; other
blobs are only counted. What the run would have stored is remembered until it ends, so that later tags, repositories
and rules find it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NotFound
from mirror.oci.manifest import Manifest
from mirror.oci.media_types import OCTET_STREAM
from mirror.oci.names import Repository, Tag
from mirror.plugin.derivation import Changes
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.derivations import Derivation, Derivations
from mirror.registry.journal import Journal, Mirrored, Run, Step
from mirror.registry.memory import MemoryRegistry
from mirror.registry.origins import Origin
from mirror.registry.port import Blob, Reader, Registry
from mirror.runtime.clock import Clock
from mirror.sync.repository_run import RunContext
from mirror.transfer.concurrency import Turns
from mirror.transfer.copy import Destination
from mirror.transfer.derive import Derived, Maker, derive_beside
from mirror.transfer.progress import SilentReporter
from mirror.transfer.referrers import KeepsUnderTags
from mirror.transfer.spool import PartialBlob, Spool
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

    Implements :class:`mirror.registry.port.ReadWriteDeleter` and :class:`mirror.transfer.spool.Spool`. Uploads, which
    are the configurations of copies with changes, go to ``inner``, a registry in memory.

    Args:
        store: the store.
        find_blob: finds a blob that any repository of the store holds.
        downloads: tells how much the store holds of an interrupted download.
    """

    def __init__(self, store: Reader, find_blob: FindBlob, downloads: Spool) -> None:
        super().__init__(MemoryRegistry())
        self._store = store
        self._find_blob = find_blob
        self._downloads = downloads
        self._seen: Seen = {}
        self._blobs: dict[tuple[Repository, Digest], Descriptor] = {}
        self._blobs_anywhere: dict[Digest, Descriptor] = {}
        self._manifests: dict[tuple[Repository, Digest], Descriptor] = {}
        self._tags: dict[tuple[Repository, Tag], Digest | None] = {}
        self._remembered: dict[Digest, Manifest] = {}
        self._remembered_bytes = 0

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
        if digest in self._remembered:
            return self._remembered[digest]
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
        if manifest.digest not in self._remembered:
            self._remembered[manifest.digest] = manifest
            self._remembered_bytes += manifest.size_bytes
        while self._remembered_bytes > _MOST_REMEMBERED_BYTES:
            self._remembered_bytes -= self._remembered.pop(next(iter(self._remembered))).size_bytes
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
    """A download that counts, and moves nothing. Implements :class:`mirror.transfer.spool.Claim`.

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


class DryRunRecorder:
    """A journal that keeps nothing after the dry run.

    Implements :class:`mirror.registry.journal.Journal` and :class:`mirror.registry.derivations.Derivations`.

    Args:
        journal, derivations: asked for what is known; nothing is written to them.
        clock: tells the time.
    """

    def __init__(self, journal: Journal, derivations: Derivations, clock: Clock) -> None:
        self._journal = journal
        self._derivations = derivations
        self._clock = clock
        self._rows: dict[Repository, dict[Tag, Mirrored]] = {}
        self._derived: dict[Digest, Derivation] = {}

    async def begin_run(self, rule: str) -> Run:
        """Begin a run without a number."""
        return Run(0, rule, self._clock.now())

    async def record(self, run: Run, steps: Sequence[Step]) -> None:
        """Remember what the rule would have brought."""
        for step in steps:
            if step.mirrored is not None:
                self._rows.setdefault(step.mirrored.repository, {})[step.mirrored.tag] = step.mirrored

    async def end_run(self, run: Run) -> None:
        """Do nothing: the run ends with the process."""

    async def mirrored(self, repository: Repository) -> Mapping[Tag, Mirrored]:
        """Read the tags that rules have brought into a repository, or would have by now."""
        return {**await self._journal.mirrored(repository), **self._rows.get(repository, {})}

    async def pulled_since(self, repository: Repository, since: datetime) -> Collection[str]:
        """Read the journal."""
        return await self._journal.pulled_since(repository, since)

    async def origin(self, repository: Repository, target: Tag | Digest) -> Origin | None:
        """Read the journal."""
        return await self._journal.origin(repository, target)

    async def record_derivation(self, digest: Digest, derivation: Derivation) -> None:
        """Remember how a copy would have come about."""
        self._derived.setdefault(digest, derivation)

    async def derivation(self, digest: Digest) -> Derivation | None:
        """Read how a copy came about, or would have."""
        return await self._derivations.derivation(digest) or self._derived.get(digest)


def dry_run_context(context: RunContext, registry: DryRunRegistry) -> RunContext:
    """Make the context of dry runs out of that of runs."""
    journal = DryRunRecorder(context.journal, context.derivations, context.clock)
    return replace(
        context,
        journal=journal,
        derivations=journal,
        reporter=SilentReporter(),
        turns=Turns(registry),
        derive=_derive_without_layers,
    )


async def _derive_without_layers(
    place: Destination, original: Digest, tags: Collection[Tag], changes: Changes, *, source: str, maker: Maker
) -> Derived | None:
    try:
        return await derive_beside(place, original, tags, changes, source=source, maker=maker)
    except BlobUnknown:
        if not changes.fix:
            raise
        return None  # what is to be mended is read from the layers, and they are not here yet
