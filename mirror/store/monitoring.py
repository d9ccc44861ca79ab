"""Monitoring of a store: contents, activity and probes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ScalarSelect, Table, func, select

from mirror.store.catalog.catalog_cache import CacheCounts
from mirror.store.catalog.tables.content_tables import blobs, manifests, repositories, tags
from mirror.store.content.volume import Volume
from mirror.store.store_services import StoreServices
from mirror.store.uploads.upload_sessions import UploadSessions


@dataclass(frozen=True, slots=True)
class StoreContents:
    """Counts of the content in the catalog.

    Attributes:
        repositories: number of repositories.
        manifests: number of manifests. A manifest counts once in each repository that holds it.
        tags: number of tags.
        files: number of blobs and manifests whose bytes are stored, each once.
        size_bytes: total size of these files.
        generation_changes: number of changes by all processes since the data folder was created.
    """

    repositories: int
    manifests: int
    tags: int
    files: int
    size_bytes: int
    generation_changes: int


@dataclass(frozen=True, slots=True)
class StoreActivity:
    """Activity of this process in the store since it opened the store.

    Attributes:
        lookups: hits and misses of the cache.
        transactions: number of committed changes.
        turn_waits: number of times that this process waited for another one to write.
        turn_wait_seconds: total time of these waits.
        uploads_expired: number of uploads removed because nobody continued them.
    """

    lookups: CacheCounts
    transactions: int
    turn_waits: int
    turn_wait_seconds: float
    uploads_expired: int


class Monitoring:
    """The state of a store for its operator."""

    def __init__(self, services: StoreServices, uploads: UploadSessions, volume: Volume) -> None:
        self._catalog = services.catalog
        self._cache = services.cache
        self._blobs = services.blobs
        self._volume = volume
        self._uploads = uploads
        self.room, self.require_room, self.probe_volume = volume.space, volume.require, volume.probe
        self.probe_reading, self.missing_bytes = volume.probe_reading, volume.missing_bytes

    @property
    def work(self) -> StoreActivity:
        """The activity of this process so far. Costs nothing."""
        generation = self._catalog.generation
        return StoreActivity(
            self._cache.lookups,
            self._catalog.transactions,
            generation.waits,
            generation.wait_seconds,
            self._uploads.expired,
        )

    async def contents(self) -> StoreContents:
        """Count the content. Reads whole indexes of the catalog. Raises CatalogFault."""
        # A change moves the count twice, to odd and to even.
        generation_changes = self._catalog.generation.current // 2
        content = select(
            _rows(repositories).label("repositories"),
            _rows(manifests).label("manifests"),
            _rows(tags).label("tags"),
            _rows(blobs).label("files"),
            select(func.coalesce(func.sum(blobs.c.size_bytes), 0)).scalar_subquery().label("size_bytes"),
        )
        row = await self._catalog.read(lambda connection: connection.execute(content).one())
        return StoreContents(**row._asdict(), generation_changes=generation_changes)

    async def probe_files(self) -> None:
        """Check that this process may use its files, also those that root left behind. Raises StorageFault."""
        await self._volume.require_access(self._blobs.refused)

    async def probe_catalog(self) -> None:
        """Read one row of the catalog. Raises StorageFault."""
        await self._catalog.read(lambda connection: connection.execute(select(tags.c.name).limit(1)).all())

    async def probe_changes(self) -> None:
        """Begin a change of the catalog without making it. Raises StorageFault."""
        await self._catalog.probe()


def _rows(table: Table) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).scalar_subquery()
