"""Loads manifests for rows of the catalog, from memory or from the disk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import Connection, Executable

from mirror.oci import Digest, Manifest, Repository
from mirror.oci.remote_storage_errors import NotCached
from mirror.runtime.concurrency.cpu_offload import LIGHT_BYTES, CpuOffload
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.store.catalog.catalog_cache import CatalogCache
from mirror.store.catalog.database import Catalog
from mirror.store.content.blob_files import BlobStorage
from mirror.store.content.cold_content import ColdReads
from mirror.store.content.manifest_bytes import load_manifest
from mirror.store.storage_errors import storage_faults


class StoredManifest(NamedTuple):
    """The columns of a manifest's row that are needed to load the manifest."""

    digest: Digest
    media_type: str
    size_bytes: int

    @classmethod
    def of(cls, row: Any) -> StoredManifest:
        """Read a row that has columns of these names."""
        return cls(Digest.parse(row.digest), row.media_type, row.size_bytes)


class ManifestLoader:
    """Loads manifests. Requests for the same large manifest at the same time share one read.

    Args:
        catalog: the catalog that has the rows.
        blobs: the storage that has the bytes.
        cache: the manifests in memory.
        cold: brings manifests that are not in the data folder.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStorage, cache: CatalogCache, cold: ColdReads) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._cache = cache
        self._cold = cold
        self._cpu_offload = CpuOffload()
        self._reading: SharedTasks[StoredManifest, Manifest] = SharedTasks()

    async def find(
        self, repository: Repository, statement: Executable, wanted: Mapping[str, object]
    ) -> Manifest | None:
        """Load the manifest that a statement selects. Return None if the statement selects no row.

        Args:
            repository: the owner of the work, for fair turns between repositories.
            statement: selects the columns of :class:`StoredManifest`, of at most one row.
            wanted: the values of the statement's parameters.

        Raises:
            StorageDamaged: the file of the manifest is missing or damaged.
        """

        def read(connection: Connection) -> Manifest | StoredManifest | None:
            row = connection.execute(statement, wanted).one_or_none()
            return None if row is None else self.load_small(StoredManifest.of(row))

        found = await self._catalog.read(read)
        return None if found is None else await self.load(repository, found)

    def load_small(self, found: StoredManifest) -> Manifest | StoredManifest:
        """Load a manifest that is in memory or small. Return ``found`` for any other, for :meth:`load`. Blocks.

        This is for the reader threads of the catalog. There are few of them, and other reads wait for them.

        Raises:
            StorageDamaged: the file of the manifest is missing or damaged.
        """
        manifest = self._cache.body(found.digest, found.media_type)
        if manifest is None and found.size_bytes <= LIGHT_BYTES:
            with suppress(NotCached):  # no network call in a reader thread
                manifest = load_manifest(self._blobs, *found)
        return manifest or found

    async def load(self, repository: Repository, found: Manifest | StoredManifest) -> Manifest:
        """Load a manifest. Large manifests are loaded one after the other, cold ones come from the bucket first.

        Args:
            repository: the owner of the work, for fair turns between repositories.
            found: the manifest, or the columns of its row.

        Raises:
            StorageDamaged: the file of the manifest is missing or damaged.
            BucketUnreachable, BucketFault: the manifest is cold, and the bucket failed.
        """
        if isinstance(found, Manifest):
            return found
        known = self._cache.body(found.digest, found.media_type)
        if known is not None:
            return known

        def read() -> Manifest:
            with storage_faults(f"read {found.digest}"):
                return load_manifest(self._blobs, *found)

        # A light manifest would be read in the event loop, which must not wait for the disk.
        size_bytes = max(found.size_bytes, LIGHT_BYTES + 1)

        async def run() -> Manifest:
            return await self._reading.run(found, lambda: self._cpu_offload.do(repository, size_bytes, read))

        try:
            return await run()
        except NotCached:
            if self._cold.content is None:
                raise
            await self._cold.content.fetch(repository, found.digest, found.size_bytes)
            return await run()
