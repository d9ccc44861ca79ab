"""Leases of stored content that comes from the bucket."""

from __future__ import annotations

from mirror.store.storage_threads import in_thread
from mirror.store.uploads.download_leases import StoreDownloadLease


class ColdLease(StoreDownloadLease):
    """The right to bring one blob from the bucket. The catalog and the bucket have the blob already."""

    async def _store(self, size_bytes: int) -> None:
        await in_thread(f"store {self._digest}", self._parts.adoption.blobs.keep, self._files.data, self._digest)
