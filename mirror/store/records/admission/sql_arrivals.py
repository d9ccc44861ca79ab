"""The sources of plugins in the catalog."""

from __future__ import annotations

from sqlalchemy import BindParameter, bindparam, select, union

from mirror.oci import Digest, Repository
from mirror.records.admission.arrivals import FirstSight
from mirror.store.catalog.tables.access_tables import arrivals, first_sights
from mirror.store.catalog.tables.content_tables import origins
from mirror.store.catalog.tables.sync_tables import mirrored_tags
from mirror.store.store_services import StoreServices

_NAME: BindParameter[str] = bindparam("name")
_WANTED: BindParameter[str] = bindparam("wanted")
_SIGHTS = (
    select(first_sights.c.upstream, first_sights.c.seen_at)
    .join(arrivals, (arrivals.c.upstream == first_sights.c.upstream) & (arrivals.c.digest == first_sights.c.digest))
    .where(arrivals.c.repository == _NAME, arrivals.c.digest == _WANTED)
    .order_by(first_sights.c.seen_at)
    .limit(1)
)
_PUSHED = select(arrivals.c.digest).where(
    arrivals.c.repository == _NAME, arrivals.c.digest == _WANTED, arrivals.c.was_pushed
)
#: Sources of a plugin: those noted when it came, and those of its tags, which bundles and earlier versions recorded.
_SOURCES = union(
    select(arrivals.c.source).where(arrivals.c.repository == _NAME, arrivals.c.digest == _WANTED),
    select(mirrored_tags.c.source).where(mirrored_tags.c.repository == _NAME, mirrored_tags.c.digest == _WANTED),
    select(origins.c.source).where(origins.c.repository == _NAME, origins.c.digest == _WANTED),
)


class SqlArrivals:
    """Implements :class:`mirror.records.admission.arrivals.Arrivals`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def first_sight(self, repository: Repository, digest: Digest) -> FirstSight | None:
        wanted = {"name": repository.name, "wanted": str(digest)}
        if await self._catalog.read(lambda connection: connection.execute(_PUSHED, wanted).first()) is not None:
            return None
        row = await self._catalog.read(lambda connection: connection.execute(_SIGHTS, wanted).one_or_none())
        return None if row is None else FirstSight(row.upstream, row.seen_at)

    async def names(self, repository: Repository, digest: Digest) -> frozenset[Repository]:
        wanted = {"name": repository.name, "wanted": str(digest)}
        found = await self._catalog.read(lambda connection: connection.execute(_SOURCES, wanted).scalars().all())
        return frozenset(Repository(name) for name in found if Repository.is_valid(name))
