"""Blobs of a bundle on their way into a registry, in the order of the tar."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from mirror.bundle.importing.import_plan import PlannedName
from mirror.bundle.importing.import_source import ImportSource
from mirror.bundle.importing.needed_content import NeededContent
from mirror.oci import Descriptor, Digest
from mirror.transfer.blob_locks import BlobLocks, map_concurrently
from mirror.transfer.copy_engine import copy_blob
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import Progress

#: Blobs on their way at the same time: one is read while the one before is made durable.
_BLOBS_AT_ONCE: Final = 2
#: Names whose manifests are checked and stored at the same time, while further blobs arrive.
_NAMES_AT_ONCE: Final = 2


@dataclass
class BlobIntake:
    """Copies the blobs of an import, and calls ``complete`` for each name as soon as all its blobs have arrived.

    Blobs in missing parts of the bundle are left out, and so are the names that need them.
    Each blob goes to the first repository that needs it. Other repositories mount it later.

    Args:
        source: the bundle.
        destination: returns the place of a name at the receiver.
        locks: locks shared with other copies of the process.
        progress: receiver of the progress.

    Attributes:
        moved_bytes: bytes read from the bundle.
    """

    source: ImportSource
    destination: Callable[[PlannedName], CopyDestination]
    locks: BlobLocks
    progress: Progress
    moved_bytes: int = 0

    async def take(
        self,
        names: Iterable[PlannedName],
        needed: NeededContent,
        readable: Collection[Descriptor],
        complete: Callable[[PlannedName], Awaitable[None]],
    ) -> None:
        """Copy the blobs that some names need.

        Args:
            names: the names.
            needed: the blobs that they need.
            readable: those of the blobs that are in parts which are here, in the order of the tar.
            complete: called for each name whose blobs are all here.

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
            await self._take(blob, names[needing[blob.digest][0]])
            for place in needing[blob.digest]:
                waiting[place].discard(blob.digest)
                if not waiting[place]:
                    group.create_task(finish(names[place]))

        try:
            async with asyncio.TaskGroup() as group:
                for name, digests in zip(names, waiting, strict=True):
                    if not digests:
                        group.create_task(finish(name))
                await map_concurrently(_BLOBS_AT_ONCE, take, readable)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _take(self, blob: Descriptor, name: PlannedName) -> None:
        origin = CopySource(self.source, name.local.named.repository)
        # Added after the wait: other blobs add to the number meanwhile.
        moved_bytes = await copy_blob(origin, self.destination(name), blob, self.progress, self.locks)
        self.moved_bytes += moved_bytes
