"""Numbers about the content of a store, computed by the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, ScalarSelect, Table, bindparam, case, exists, func, select, union_all

from mirror.records.lifecycle.storage_numbers import ContentNumbers, RepositorySize, TargetPulls
from mirror.store.catalog.tables.content_tables import (
    ChildKind,
    blobs,
    incomplete_manifests,
    manifest_children,
    manifests,
    repositories,
    repository_blobs,
    tags,
)
from mirror.store.catalog.tables.sync_tables import pulls
from mirror.store.store_services import StoreServices


def _rows(table: Table) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).scalar_subquery()


def _sum(condition: Any, value: Any) -> Any:
    return func.coalesce(func.sum(case((condition, value), else_=0)), 0)


#: Number of manifests that are or name each digest. The same digest may come from several of the statements.
_USES = union_all(
    select(manifest_children.c.child.label("digest"), func.count().label("uses"))
    .where(manifest_children.c.kind == ChildKind.BLOB.value)
    .group_by(manifest_children.c.child),
    *(
        select(table.c.digest, func.count().label("uses")).group_by(table.c.digest)
        for table in (manifests, incomplete_manifests)
    ),
).subquery("uses")
_USED = select(_USES.c.digest, func.sum(_USES.c.uses).label("uses")).group_by(_USES.c.digest).subquery("used")
_NUMBER = func.coalesce(_USED.c.uses, 0)
_CONTENT: Final = select(
    _rows(repositories).label("repositories"),
    _rows(tags).label("tags"),
    (_rows(manifests) + _rows(incomplete_manifests)).label("manifests"),
    func.count().label("files"),
    func.coalesce(func.sum(blobs.c.size_bytes), 0).label("size_bytes"),
    _sum(_NUMBER > 1, blobs.c.size_bytes).label("shared_bytes"),
    _sum(_NUMBER > 1, blobs.c.size_bytes * (_NUMBER - 1)).label("saved_bytes"),
    _sum(_NUMBER == 0, blobs.c.size_bytes).label("unused_bytes"),
).select_from(blobs.outerjoin(_USED, _USED.c.digest == blobs.c.digest))

#: What each repository holds, each digest once. A client may have pushed a manifest as a blob too.
_HELD = union_all(
    select(repository_blobs.c.repository_id, repository_blobs.c.digest),
    select(manifests.c.repository_id, manifests.c.digest).where(
        ~exists().where(
            repository_blobs.c.repository_id == manifests.c.repository_id,
            repository_blobs.c.digest == manifests.c.digest,
        )
    ),
).subquery("held")
_HOLDERS = (
    select(
        _HELD.c.digest,
        func.min(_HELD.c.repository_id).label("first"),
        func.count().label("holders"),
    )
    .group_by(_HELD.c.digest)
    .subquery("holders")
)
_SIZES = (
    select(
        _HELD.c.repository_id,
        func.count().label("files"),
        func.sum(blobs.c.size_bytes).label("size_bytes"),
    )
    .join(blobs, blobs.c.digest == _HELD.c.digest)
    .group_by(_HELD.c.repository_id)
    .order_by(func.sum(blobs.c.size_bytes).desc(), _HELD.c.repository_id)
    .limit(bindparam("most"))
)
_OWN = (
    select(_HOLDERS.c.first.label("repository_id"), func.sum(blobs.c.size_bytes).label("own_bytes"))
    .join(blobs, blobs.c.digest == _HOLDERS.c.digest)
    .where(_HOLDERS.c.holders == 1)
    .group_by(_HOLDERS.c.first)
)
_NAMES = select(repositories.c.id, repositories.c.name, func.count(tags.c.name).label("tags")).outerjoin(
    tags, tags.c.repository_id == repositories.c.id
)
_NAMED = _NAMES.where(repositories.c.id.in_(bindparam("ids", expanding=True))).group_by(repositories.c.id)
_MOST_PULLED = (
    select(pulls.c.repository, pulls.c.target, pulls.c.count.label("pulls"), pulls.c.pulled_at)
    .order_by(pulls.c.count.desc(), pulls.c.pulled_at.desc(), pulls.c.repository, pulls.c.target)
    .limit(bindparam("most"))
)


class SqlStorageNumbers:
    """Implements :class:`mirror.records.lifecycle.storage_numbers.StorageNumbers`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def content(self) -> ContentNumbers:
        row = await self._catalog.read_long(lambda connection: connection.execute(_CONTENT).one())
        return ContentNumbers(**row._asdict())

    async def largest(self, most: int) -> Sequence[RepositorySize]:
        def read(connection: Connection) -> list[RepositorySize]:
            sizes = connection.execute(_SIZES, {"most": most}).all()
            own = {row.repository_id: row.own_bytes for row in connection.execute(_OWN)}
            named = {row.id: row for row in connection.execute(_NAMED, {"ids": [row.repository_id for row in sizes]})}
            # A repository that was removed between the statements is left out.
            return [
                _size(named[row.repository_id], row, own.get(row.repository_id, 0))
                for row in sizes
                if row.repository_id in named
            ]

        return await self._catalog.read_long(read)

    async def most_pulled(self, most: int) -> Sequence[TargetPulls]:
        found = await self._catalog.read_long(lambda connection: connection.execute(_MOST_PULLED, {"most": most}).all())
        return [TargetPulls(**row._asdict()) for row in found]


def _size(named: Row[Any], held: Row[Any], own_bytes: int) -> RepositorySize:
    return RepositorySize(named.name, named.tags, held.files, held.size_bytes, own_bytes)
