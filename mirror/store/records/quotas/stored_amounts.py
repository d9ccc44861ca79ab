"""Bytes, manifests and tags that repositories hold and that users have pushed, counted from the rows of the catalog.

Content counts once for each repository that holds it, because each repository could keep it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, bindparam, case, exists, func, select

from mirror.records.lifecycle.quotas import Amounts
from mirror.store.catalog import rows
from mirror.store.catalog.pushes.push_rows import GIVEN_UP, unnamed
from mirror.store.catalog.tables.collection_tables import reviews
from mirror.store.catalog.tables.content_tables import blobs, manifests, repositories, repository_blobs, tags

#: Columns by which rows are counted.
_REPOSITORY: Final = "repository_id"
_USER: Final = "pushed_by"


def amounts_of_repositories(connection: Connection, ids: Sequence[int] | None = None) -> dict[int, Amounts]:
    """Return the amounts of repositories by id; None: of all. Repositories that hold nothing are left out."""
    return _amounts(connection, _REPOSITORY, ids)


def amounts_of_users(connection: Connection, names: Sequence[str] | None = None) -> dict[str, Amounts]:
    """Return the amounts of users by name; None: of all who have pushed something that is still held."""
    return _amounts(connection, _USER, names)


def _amounts(connection: Connection, by: str, wanted: Sequence[Any] | None) -> dict[Any, Amounts]:
    found: dict[Any, Amounts] = {}
    for part in [None] if wanted is None else rows.parts(wanted):
        parameters = {} if part is None else {"wanted": part}
        for statement in _statements(by, some=part is not None):
            for row in connection.execute(statement, parameters):
                more = Amounts(int(row.size_bytes), row.manifests, row.tags)
                found[row.key] = found.get(row.key, Amounts()) + more
    return found


@cache
def _statements(by: str, *, some: bool) -> tuple[Select[Any], ...]:
    held = select(blobs.c.size_bytes).join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
    left = (
        held.join(repositories, repositories.c.id == repository_blobs.c.repository_id)
        .join(
            reviews,
            (reviews.c.repository == repositories.c.name) & (reviews.c.digest == repository_blobs.c.digest),
        )
        .where(GIVEN_UP, unnamed(repositories.c.name, repository_blobs.c.digest))
    )
    kept = select(manifests.c.digest).join(blobs, blobs.c.digest == manifests.c.digest)
    # A manifest that is held as a blob too has one file.
    also_blob = exists().where(
        repository_blobs.c.repository_id == manifests.c.repository_id, repository_blobs.c.digest == manifests.c.digest
    )
    size = blobs.c.size_bytes
    counted = (
        (held, repository_blobs, size, 0, 0),
        (left, repository_blobs, -size, 0, 0),
        (kept, manifests, case((also_blob, 0), else_=size), 1, 0),
        (select(tags.c.name), tags, 0, 0, 1),
    )
    return tuple(_counted(*each, by=by, some=some) for each in counted)


def _counted(
    found: Select[Any], table: Table, size_bytes: Any, manifest: int, tag: int, *, by: str, some: bool
) -> Select[Any]:
    key = table.c[by]
    is_wanted = key.in_(bindparam("wanted", expanding=True)) if some else key.is_not(None)
    return (
        found.where(is_wanted)
        .with_only_columns(
            key.label("key"),
            func.sum(size_bytes).label("size_bytes"),
            func.sum(manifest).label("manifests"),
            func.sum(tag).label("tags"),
        )
        .group_by(key)
    )
