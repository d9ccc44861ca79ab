"""Manifests by their catalog rows, out of memory or off the disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Executable

from mirror.oci import Digest, Manifest, Repository
from mirror.runtime.concurrency.cpu_offload import LIGHT_BYTES, CpuOffload
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.store.catalog.catalog_cache import CatalogCache
from mirror.store.catalog.database import Catalog
from mirror.store.content.blob_files import BlobStorage
from mirror.store.content.manifest_bytes import load_manifest
from mirror.store.storage_errors import storage_faults


class StoredManifest(NamedTuple):
    """A manifest, by what its row says."""

    digest: Digest
    media_type: str
    size_bytes: int

    @classmethod
    def of(cls, row: Any) -> StoredManifest:
        """Read a row that has the columns of these names."""
        return cls(Digest.parse(row.digest), row.media_type, row.size_bytes)


class ManifestLoader:
    """Loads manifests, a large one once for all who want it at the same time.

    Args:
        catalog: where the rows are.
        blobs: where the bytes are.
        cache: the manifests in memory.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStorage, cache: CatalogCache) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._cache = cache
        self._cpu_offload = CpuOffload()
        self._reading: SharedTasks[StoredManifest, Manifest] = SharedTasks()

    async def find(
        self, repository: Repository, statement: Executable, wanted: Mapping[str, object]
    ) -> Manifest | None:
        """Load the manifest that a statement selects; None where it selects none.

        Args:
            repository: who has its turn.
            statement: selects the columns of :class:`StoredManifest`, of one row.
            wanted: the values of the statement's parameters.

        Raises:
            StorageDamaged: it is not what it was.
        """

        def read(connection: Connection) -> Manifest | StoredManifest | None:
            row = connection.execute(statement, wanted).one_or_none()
            return None if row is None else self.load_small(StoredManifest.of(row))

        found = await self._catalog.read(read)
        return None if found is None else await self.load(repository, found)

    def load_small(self, found: StoredManifest) -> Manifest | StoredManifest:
        """Load a manifest that is in memory or small; give back a large one for :meth:`load`. Blocks.

        For readers of the catalog: those are few, and others wait for them.

        Raises:
            StorageDamaged: it is not what it was.
        """
        manifest = self._cache.body(found.digest, found.media_type)
        if manifest is None and found.size_bytes <= LIGHT_BYTES:
            manifest = load_manifest(self._blobs, *found)
        return manifest or found

    async def load(self, repository: Repository, found: Manifest | StoredManifest) -> Manifest:
        """Load a manifest, large ones one after the other.

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
        return await self._reading.run(found, lambda: self._cpu_offload.do(repository, size_bytes, read))
