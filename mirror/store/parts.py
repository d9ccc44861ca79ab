"""What the store's faces work with."""

from __future__ import annotations

from typing import Any, NamedTuple

from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository
from mirror.runtime.clock import Clock
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.runtime.heavy_work import LIGHT_BYTES, HeavyWork
from mirror.store.blobs import Blobs
from mirror.store.bodies import load_manifest
from mirror.store.cache import Cache
from mirror.store.catalog.engine import Catalog
from mirror.store.faults import storage_faults
from mirror.store.uploads import Uploads
from mirror.store.volume import Volume


class Found(NamedTuple):
    """A manifest, by what its row says."""

    digest: Digest
    media_type: str
    size_bytes: int

    @classmethod
    def of(cls, row: Any) -> Found:
        """What a row with the columns of that name says."""
        return cls(Digest.parse(row.digest), row.media_type, row.size_bytes)


class StoreParts:
    """Holds the parts: the start of each face of the store."""

    def __init__(
        self, *, catalog: Catalog, blobs: Blobs, uploads: Uploads, volume: Volume, cache: Cache, clock: Clock
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._uploads = uploads
        self._volume = volume
        self._cache = cache
        self._clock = clock
        self._heavy = HeavyWork()
        self._reading: SharedTasks[Found, Manifest] = SharedTasks()

    def _light(self, found: Found) -> Manifest | Found:
        """A manifest that is in memory or small. Of another one what its row says, for :meth:`_body`. Blocks.

        For readers of the catalog: those are few, and others wait for them.

        Raises:
            StorageDamaged: it is not what it was.
        """
        manifest = self._cache.body(found.digest, found.media_type)
        if manifest is None and found.size_bytes <= LIGHT_BYTES:
            manifest = load_manifest(self._blobs, *found)
        return manifest or found

    async def _body(self, repository: Repository, found: Manifest | Found) -> Manifest:
        """A manifest, out of memory or off the disk: once for all who want it now, and one after the other.

        Args:
            repository: who has its turn.
            found: the manifest, or what its row says.

        Raises:
            StorageDamaged: it is not what it was.
        """
        if isinstance(found, Manifest):
            return found
        known = self._cache.body(found.digest, found.media_type)
        if known is not None:
            return known

        def read() -> Manifest:
            with storage_faults(f"read {found.digest}"):
                return load_manifest(self._blobs, *found)

        size_bytes = max(found.size_bytes, LIGHT_BYTES + 1)  # the disk is not waited for in the event loop
        return await self._reading.run(found, lambda: self._heavy.do(repository, size_bytes, read))
