"""Blobs of a bundle on their way into a registry, in the order of the tar."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from mirror.bundle.bundle_errors import BundleIncomplete, BundleInvalid
from mirror.bundle.importing.import_plan import PlannedName
from mirror.bundle.importing.import_source import ImportSource
from mirror.bundle.importing.needed_content import NeededContent
from mirror.oci import Descriptor, Digest
from mirror.oci.errors import DigestInvalid
from mirror.transfer.blob_locks import BlobLocks, map_concurrently
from mirror.transfer.copy_engine import copy_blob
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import Progress

#: Blobs on their way at the same time: one is read while the one before is made durable.
_BLOBS_AT_ONCE: Final = 2
#: Names whose manifests are checked and stored at the same time, while further blobs arrive.
_NAMES_AT_ONCE: Final = 4


@dataclass
class BlobIntake:
    """Copies the blobs of an import, and calls ``complete`` for each name as soon as all its blobs have arrived.

    Each blob goes to the first repository that needs it. Other repositories mount it later.

    Args:
        source: the bundle.
        destination: returns the place of a name at the receiver.
        locks: locks shared with other copies of the process.
        progress: receiver of the progress.

    Attributes:
        moved_bytes: bytes read from the bundle.
        unread: errors of blobs in missing parts, by digest.
    """

    source: ImportSource
    destination: Callable[[PlannedName], CopyDestination]
    locks: BlobLocks
    progress: Progress
    moved_bytes: int = 0
    unread: dict[Digest, BundleIncomplete] = field(default_factory=dict)

    async def take(
        self,
        names: Iterable[PlannedName],
        needed: NeededContent,
        complete: Callable[[PlannedName], Awaitable[None]],
    ) -> None:
        """Copy the blobs that some names need.

        Raises:
            BundleInvalid: a blob differs from the statement.
            StorageFault: the receiver failed.
            MirrorError: any other error of ``complete``.
        """
        names = list(names)
        waiting = [set(needed.of(name.local.named)) for name in names]
        needing: dict[Digest, list[int]] = {}
        for place, digests in enumerate(waiting):
            for digest in digests:
                needing.setdefault(digest, []).append(place)
        gate = asyncio.Semaphore(_NAMES_AT_ONCE)

        async def finish(name: PlannedName) -> None:
            async with gate:
                await complete(name)

        async def take(blob: Descriptor) -> None:
            if not await self._take(blob, names[needing[blob.digest][0]]):
                return
            for place in needing[blob.digest]:
                waiting[place].discard(blob.digest)
                if not waiting[place]:
                    group.create_task(finish(names[place]))

        try:
            async with asyncio.TaskGroup() as group:
                for name, digests in zip(names, waiting, strict=True):
                    if not digests:
                        group.create_task(finish(name))
                await map_concurrently(_BLOBS_AT_ONCE, take, needed.blobs)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _take(self, blob: Descriptor, name: PlannedName) -> bool:
        """Copy a blob. Return False if the part of the bundle with the blob is missing."""
        origin = CopySource(self.source, name.local.named.repository)
        try:
            self.moved_bytes += await copy_blob(origin, self.destination(name), blob, self.progress, self.locks)
        except BundleIncomplete as error:
            self.unread[blob.digest] = error
            return False
        except DigestInvalid as error:
            raise self._damaged(blob) from error
        return True

    def _damaged(self, blob: Descriptor) -> BundleInvalid:
        bundle = self.source.bundle
        placed = bundle.head.layout.blob(blob.digest)
        place = "" if placed is None else f" between bytes {placed.start_bytes} and {placed.end_bytes}"
        return BundleInvalid(
            f"{bundle.source.name} is damaged{place}: the content of {blob.digest} has another digest; no tag was "
            "moved; fix: bring the bundle again, and find the damage with 'bundle verify'",
            digest=blob.digest,
        )
