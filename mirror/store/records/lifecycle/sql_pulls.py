"""Pulls of tags and digests, in the catalog. Nothing of them is cached, so writing them keeps all caches valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, case, delete, exists, or_, select, tuple_
from sqlalchemy.dialects.sqlite import insert

from mirror.records.lifecycle.pull_counts import PullCounts
from mirror.store.catalog.tables.content_tables import (
    incomplete_manifests,
    manifests,
    origins,
    repositories,
    repository_blobs,
    tags,
)
from mirror.store.catalog.tables.sync_tables import pulls
from mirror.store.store_services import StoreServices

_NEW: Final = insert(pulls)
#: Several processes count the same tag, and the one that writes last need not have counted the last pull.
_ADD: Final = _NEW.on_conflict_do_update(
    index_elements=list(pulls.primary_key),
    set_={
        "count": pulls.c.count + _NEW.excluded.count,
        "pulled_at": case(
            (pulls.c.pulled_at > _NEW.excluded.pulled_at, pulls.c.pulled_at), else_=_NEW.excluded.pulled_at
        ),
    },
)
_HERE: Final = repositories.c.name == pulls.c.repository


def _held(table: Any, target: Any) -> Any:
    return exists().where(_HERE, table.c.repository_id == repositories.c.id, target == pulls.c.target)


_IS_GONE: Final = ~or_(
    _held(tags, tags.c.name),
    _held(manifests, manifests.c.digest),
    _held(repository_blobs, repository_blobs.c.digest),
    exists().where(
        incomplete_manifests.c.repository == pulls.c.repository, incomplete_manifests.c.digest == pulls.c.target
    ),
    exists().where(origins.c.repository == pulls.c.repository, origins.c.target == pulls.c.target),
)
_ROWS_IN_A_STEP: Final = 1000
_NEXT: Final = (
    select(pulls.c.repository, pulls.c.target, _IS_GONE.label("is_gone"))
    .where(tuple_(pulls.c.repository, pulls.c.target) > tuple_(bindparam("repository"), bindparam("target")))
    .order_by(pulls.c.repository, pulls.c.target)
    .limit(_ROWS_IN_A_STEP)
)
#: Looked at again: the tag may have come back since it was read.
_FORGET: Final = delete(pulls).where(
    and_(pulls.c.repository == bindparam("of_repository"), pulls.c.target == bindparam("gone"), _IS_GONE)
)


class SqlPulls:
    """The number of pulls of each tag and digest, and the time of the last one."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def record_pulls(self, pulled: PullCounts) -> None:
        """Add pulls to those recorded. Raises StorageFull, CatalogFault."""

        def write(connection: Connection) -> None:
            values = [
                {"repository": repository.name, "target": str(target), "pulled_at": one.last_at, "count": one.number}
                for (repository, target), one in pulled.items()
            ]
            connection.execute(_ADD, values)

        if pulled:
            await self._catalog.write_uncached(write)

    async def forget_gone(self) -> None:
        """Remove the pulls of tags and digests that are no longer here, in short steps. Raises StorageFault."""
        after: dict[str, str] = {"repository": "", "target": ""}
        while found := await self._catalog.read_long(partial(_next, after=after)):
            gone = [{"of_repository": row.repository, "gone": row.target} for row in found if row.is_gone]
            if gone:
                await self._catalog.write_uncached(partial(_forget, gone=gone))
            after = {"repository": found[-1].repository, "target": found[-1].target}


def _next(connection: Connection, after: Mapping[str, str]) -> Sequence[Row[Any]]:
    return connection.execute(_NEXT, after).all()


def _forget(connection: Connection, gone: Sequence[Mapping[str, str]]) -> None:
    connection.execute(_FORGET, gone)
