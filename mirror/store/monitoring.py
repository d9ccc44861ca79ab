"""Monitoring of a store: its contents, its activity, and probes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ScalarSelect, Table, func, select

from mirror.store.catalog.catalog_cache import CacheCounts
from mirror.store.catalog.content_tables import blobs, manifests, repositories, tags
from mirror.store.content.volume import Volume
from mirror.store.store_services import StoreServices
from mirror.store.uploads.upload_sessions import UploadSessions


@dataclass(frozen=True, slots=True)
class StoreContents:
    """Content that the catalog names, counted.

    Attributes:
        repositories, manifests, tags: rows; a manifest counts once in each repository that holds it.
        files: blobs and manifests whose bytes are kept, each once.
        size_bytes: of those files.
        generation_changes: changes that all processes have made since the data folder came into being.
    """

    repositories: int
    manifests: int
    tags: int
    files: int
    size_bytes: int
    generation_changes: int


@dataclass(frozen=True, slots=True)
class StoreActivity:
    """Activity of this process in the store since it opened it.

    Attributes:
        lookups: in the cache.
        transactions: committed.
        turn_waits, turn_wait_seconds: how often, and how long in all, this process waited for another one to write.
        uploads_expired: removed because nobody went on with them.
    """

    lookups: CacheCounts
    transactions: int
    turn_waits: int
    turn_wait_seconds: float
    uploads_expired: int


class Monitoring:
    """The state of a store, as its operator sees it."""

    def __init__(self, services: StoreServices, uploads: UploadSessions, volume: Volume) -> None:
        self._catalog = services.catalog
        self._cache = services.cache
        self._uploads = uploads
        self.room, self.require_room, self.probe_volume = volume.room, volume.require, volume.probe

    @property
    def work(self) -> StoreActivity:
        """The activity of this process until now. Costs nothing."""
        generation = self._catalog.generation
        return StoreActivity(
            self._cache.lookups,
            self._catalog.transactions,
            generation.waits,
            generation.wait_seconds,
            self._uploads.expired,
        )

    async def contents(self) -> StoreContents:
        """Count what there is: it reads whole indexes of the catalog. Raises CatalogFault."""
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

    async def probe_catalog(self) -> None:
        """Read from the catalog. Raises CatalogFault."""
        await self._catalog.read(lambda connection: connection.execute(select(tags.c.name).limit(1)).all())


def _rows(table: Table) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).scalar_subquery()
