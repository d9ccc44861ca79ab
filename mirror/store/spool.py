"""The store, as something that is filled from elsewhere while it is read."""

from __future__ import annotations

from mirror.oci.digest import Digest
from mirror.oci.names import Repository
from mirror.store.downloads import Download
from mirror.store.partial import PartialBlob
from mirror.store.parts import StoreParts


class StoreSpool(StoreParts):
    """Blobs on their way from elsewhere."""

    async def claim_download(self, repository: Repository, digest: Digest) -> Download | None:
        """As :meth:`mirror.store.downloads.Downloads.claim`."""
        return await self._uploads.downloads.claim(repository, digest)

    async def watch_download(self, digest: Digest) -> PartialBlob | None:
        """As :meth:`mirror.store.downloads.Downloads.watch`."""
        return await self._uploads.downloads.watch(digest)
