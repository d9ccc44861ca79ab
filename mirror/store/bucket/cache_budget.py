"""Budget of the cache: files that the bucket holds too give way, those read least recently first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import islice

import structlog

from mirror.store.bucket import object_rows
from mirror.store.catalog.database import Catalog
from mirror.store.content.blob_files import BlobStorage
from mirror.store.content.cached_files import CachedFile, cached_files
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.volume import Volume
from mirror.store.storage_threads import in_thread

_LOG = structlog.get_logger(__name__)
#: Files that are looked up at once.
_IN_A_STEP = 200
#: Files up to this size, such as manifests, give way last: they free little, and each costs a request when it is read.
_SMALL_BYTES = 64 * 1024
#: Part of the budget that is freed beyond what must be, so that not each new file has others give way.
_MARGIN = 20


class CacheBudget:
    """The budget of a data folder that is a cache. Implements :class:`mirror.filters.room_for_pushes.RoomMaker`.

    A file gives way only while an object in the bucket holds its content. A row of content without an object does not
    come, because an object is stored before the row and doomed with it. Readers that have opened a file read on.

    Args:
        layout: the data folder.
        blobs: its files.
        catalog: tells which content is in the bucket.
        volume: the disk.
        limit_bytes: size of the cache; None for what the disk has.

    Attributes:
        used_bytes: size of all files at the last look for the budget; 0 in processes that do not look.
        evicted_files: number of files that gave way in this process.
        evicted_bytes: their size.
    """

    def __init__(
        self, layout: DataLayout, blobs: BlobStorage, catalog: Catalog, volume: Volume, limit_bytes: int | None
    ) -> None:
        self.used_bytes = self.evicted_files = self.evicted_bytes = 0
        self._layout = layout
        self._blobs = blobs
        self._catalog = catalog
        self._volume = volume
        self._limit_bytes = limit_bytes
        self._evicting = asyncio.Lock()

    async def keep_within(self) -> None:
        """Evict what exceeds the budget. Looks at all files. Raises CatalogFault, StorageFault."""
        async with self._evicting:
            files = await self._files()
            self.used_bytes = sum(file.size_bytes for file in files)
            if self._limit_bytes is not None and self.used_bytes > self._limit_bytes:
                surplus_bytes = self.used_bytes - self._limit_bytes
                self.used_bytes -= await self._evict(files, surplus_bytes + self._limit_bytes // _MARGIN)

    async def relieve(self) -> None:
        """Evict on a disk that is nearly full. Raises CatalogFault, StorageFault."""
        async with self._evicting:
            if missing_bytes := await self._volume.missing_bytes():
                await self._evict(await self._files(), missing_bytes)

    async def make_room(self, size_bytes: int) -> bool:
        """Evict until content of a size fits on the disk. Return True if it fits now.

        Raises:
            CatalogFault, StorageFault: the store failed.
        """
        if not await self._volume.missing_bytes(size_bytes):
            return True
        async with self._evicting:
            if missing_bytes := await self._volume.missing_bytes(size_bytes):
                await self._evict(await self._files(), missing_bytes)
        return not await self._volume.missing_bytes(size_bytes)

    async def _files(self) -> list[CachedFile]:
        return await in_thread("look at the cache", lambda: sorted(cached_files(self._layout), key=_order))

    async def _evict(self, files: Sequence[CachedFile], wanted_bytes: int) -> int:
        """Evict the first of some files, until enough is freed. Return the number of bytes freed."""
        left, freed_bytes = iter(files), 0
        while freed_bytes < wanted_bytes and (step := list(islice(left, _IN_A_STEP))):
            names = [str(file.digest) for file in step]
            held = await self._catalog.read(partial(object_rows.stored_of, digests=names))
            for file in step:
                if str(file.digest) in held and freed_bytes < wanted_bytes:
                    await in_thread(f"evict {file.digest}", self._blobs.remove, file.digest)
                    freed_bytes += file.size_bytes
                    self.evicted_files += 1
        self.evicted_bytes += freed_bytes
        _LOG.info("cached files evicted", size_bytes=freed_bytes, wanted_bytes=wanted_bytes)
        return freed_bytes


def _order(file: CachedFile) -> tuple[bool, int]:
    return file.size_bytes <= _SMALL_BYTES, file.used_at_ns
