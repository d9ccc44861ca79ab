"""Cold content for commands: it is fetched whole, and then read from the data folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mirror.oci import Digest, Repository
from mirror.oci.errors import DigestInvalid, StorageDamaged, UpstreamUnreachable
from mirror.oci.remote_storage_errors import BucketUnreachable
from mirror.registry.port import Blob
from mirror.store.bucket.object_source import ObjectSource
from mirror.store.content.blob_files import BlobStorage
from mirror.store.storage_threads import in_thread
from mirror.store.uploads.download_leases import DownloadLeases, StoreDownloadLease
from mirror.wire.ranges import RangeRequest

#: Interval between two attempts to get a lease. Leases are file locks, and no process tells another of a release.
_POLL_SECONDS: Final = 0.05


class WholeFetching:
    """Implements :class:`mirror.store.content.cold_content.ColdContent`.

    Args:
        blobs: the files of the data folder.
        leases: the leases of cold content.
        source: the bucket.
    """

    def __init__(self, blobs: BlobStorage, leases: DownloadLeases, source: ObjectSource) -> None:
        self._blobs = blobs
        self._leases = leases
        self._source = source

    @asynccontextmanager
    async def open(
        self, repository: Repository, digest: Digest, size_bytes: int, part: RangeRequest | None
    ) -> AsyncIterator[Blob]:
        """Open content as the protocol defines."""
        await self.fetch(repository, digest, size_bytes)
        async with self._blobs.open(digest, size_bytes, part) as blob:
            yield blob

    async def fetch(self, repository: Repository, digest: Digest, size_bytes: int) -> None:
        """Bring content into the data folder as the protocol defines."""
        claim = self._leases.claim_download
        while (lease := await claim(repository, digest)) is None:  # noqa: ASYNC110 - no process tells others
            await asyncio.sleep(_POLL_SECONDS)
        try:
            if await in_thread(f"look for {digest}", self._blobs.find_size, digest) is not None:
                await lease.drop()
                return
            await self._receive(lease, repository, digest, size_bytes)
        except StorageDamaged:
            self._blobs.suspects.add(digest)
            self._source.suspect(digest)
            raise
        except UpstreamUnreachable as error:
            raise BucketUnreachable(error.message, **error.detail) from error
        finally:
            await lease.release()

    async def _receive(
        self, lease: StoreDownloadLease, repository: Repository, digest: Digest, size_bytes: int
    ) -> None:
        await lease.expect(size_bytes)
        if lease.offset < size_bytes:
            part = RangeRequest(lease.offset, None) if lease.offset else None
            async with self._source.open_blob(repository, digest, part) as blob:
                await lease.append(blob, lambda: None)
        try:
            await lease.verify()
        except DigestInvalid as error:
            await lease.drop()
            raise StorageDamaged(f"the object of {digest} in the bucket is damaged", digest=digest) from error
        await lease.commit()
