"""Rows that several kinds of change write. All functions that write run inside :meth:`Catalog.write`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, Table, bindparam, delete, exists, select
from sqlalchemy.dialects.sqlite import Insert, insert  # PostgreSQL's insert() has the same methods

from mirror.oci import Digest, Repository
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog import damage_rows, review_rows
from mirror.store.catalog.tables.access_tables import arrivals
from mirror.store.catalog.tables.collection_tables import doomed_files
from mirror.store.catalog.tables.content_tables import (
    absent_content,
    blobs,
    incomplete_manifests,
    manifests,
    origins,
    repositories,
    repository_blobs,
)

Value = TypeVar("Value")

#: Most values in one IN list. The limits of databases begin at 999.
_IN_LIMIT = 500

# Statements are made once, with bound parameters, so that SQLAlchemy compiles them once. Making a statement for each
# change would cost more than running it.
_REPOSITORY = select(repositories.c.id).where(repositories.c.name == bindparam("name"))
_NEW_REPOSITORY = insert(repositories).returning(repositories.c.id)
_NO_LONGER_REPOSITORY = delete(repositories).where(
    repositories.c.id == bindparam("repository_id"),
    ~exists().where(repository_blobs.c.repository_id == bindparam("repository_id")),
    ~exists().where(manifests.c.repository_id == bindparam("repository_id")),
)
_CONTENT = select(blobs.c.digest).where(blobs.c.digest == bindparam("digest"))
_NO_LONGER_INCOMPLETE = delete(incomplete_manifests).where(
    incomplete_manifests.c.repository == bindparam("name"), incomplete_manifests.c.digest == bindparam("held")
)
_NO_LONGER_ABSENT = delete(absent_content).where(
    absent_content.c.repository == bindparam("name"), absent_content.c.manifest == bindparam("naming")
)
_ABSENT = select(absent_content.c.digest).where(
    absent_content.c.repository == bindparam("name"), absent_content.c.manifest == bindparam("naming")
)
_NO_LONGER_PULLED = (
    delete(origins)
    .where(origins.c.repository == bindparam("name"), origins.c.target.in_(bindparam("targets", expanding=True)))
    .returning(origins.c.digest)
)
_NO_LONGER_ARRIVED = delete(arrivals).where(
    arrivals.c.repository == bindparam("name"),
    arrivals.c.digest == bindparam("gone"),
    ~exists().where(
        incomplete_manifests.c.repository == bindparam("name"), incomplete_manifests.c.digest == bindparam("gone")
    ),
    ~exists().where(
        repositories.c.name == bindparam("name"),
        manifests.c.repository_id == repositories.c.id,
        manifests.c.digest == bindparam("gone"),
    ),
)
_NO_LONGER_DOOMED = delete(doomed_files).where(doomed_files.c.digest == bindparam("stored"))


def find_repository(connection: Connection, repository: Repository) -> int | None:
    """Return the id of a repository, or None if the repository holds nothing."""
    return connection.execute(_REPOSITORY, {"name": repository.name}).scalar_one_or_none()


def ensure_repository(connection: Connection, repository: Repository) -> int:
    """Return the id of a repository. Create its row if the repository holds nothing yet."""
    repository_id = find_repository(connection, repository)
    if repository_id is None:
        repository_id = connection.execute(_NEW_REPOSITORY, {"name": repository.name}).scalar_one()
    return repository_id


def drop_repository_if_empty(connection: Connection, repository_id: int) -> None:
    """Remove the row of a repository that holds neither blobs nor manifests."""
    connection.execute(_NO_LONGER_REPOSITORY, {"repository_id": repository_id})


def put(connection: Connection, table: Table, *rows: Mapping[str, object], keep: tuple[str, ...] = ()) -> None:
    """Insert rows into a table, or replace those with the same primary key.

    Args:
        connection: the connection of the transaction.
        table: the table.
        rows: the rows, with values for all columns.
        keep: columns whose values stay if the row exists.
    """
    if rows:
        connection.execute(_upsert(table, keep), rows[0] if len(rows) == 1 else list(rows))


@cache
def _upsert(table: Table, keep: tuple[str, ...]) -> Insert:
    statement = insert(table)
    columns = [column.name for column in table.columns if not column.primary_key and column.name not in keep]
    if not columns:
        return statement.on_conflict_do_nothing(index_elements=list(table.primary_key))
    values = {name: statement.excluded[name] for name in columns}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)


def add_content(connection: Connection, digest: Digest, size_bytes: int, now: datetime) -> None:
    """Record that the bytes of ``digest`` are durable. Bytes that were to be removed stay, and damage is healed."""
    connection.execute(_NO_LONGER_DOOMED, {"stored": str(digest)})
    damage_rows.whole_again(connection, str(digest))
    put(connection, blobs, {"digest": str(digest), "size_bytes": size_bytes, "stored_at": now})


def knows_content(connection: Connection, digest: Digest) -> bool:
    """Check whether the catalog has a row for the bytes of ``digest``."""
    return connection.execute(_CONTENT, {"digest": str(digest)}).scalar_one_or_none() is not None


def put_about(connection: Connection, digest: Digest, table: Table, row: Mapping[str, object]) -> None:
    """Insert or replace a row about ``digest``, if the catalog knows its bytes."""
    if knows_content(connection, digest):
        put(connection, table, row)


def add_blob(
    connection: Connection,
    repository: Repository,
    digest: Digest,
    now: datetime,
    pushed_by: str | None = None,
    *,
    cause: ReviewCause = ReviewCause.STORED,
) -> None:
    """Record that a repository holds a blob whose bytes are durable. A manifest that names it is to follow.

    Args:
        connection: the connection of the transaction.
        repository: the repository.
        digest: the blob.
        now: the present time.
        pushed_by: the user who pushed the blob. If the row exists, its user stays.
        cause: the event.
    """
    row = {"repository_id": ensure_repository(connection, repository), "digest": str(digest), "added_at": now}
    put(connection, repository_blobs, {**row, "pushed_by": pushed_by}, keep=("pushed_by",))
    review_rows.review(connection, ReviewKind.BLOB, repository.name, [str(digest)], cause, now=now)


def first_missing(connection: Connection, held: Table, repository_id: int, wanted: Collection[Digest]) -> Digest | None:
    """Return the first of ``wanted`` that the repository does not have whole in ``held``, or None if there is none."""
    found: set[str] = set()
    for part in parts([str(one) for one in wanted]):
        found.update(connection.execute(_held(held), {"repository_id": repository_id, "wanted": part}).scalars())
    return next((one for one in wanted if str(one) not in found), None)


@cache
def _held(held: Table) -> Select[Any]:
    in_repository = held.c.repository_id == bindparam("repository_id")
    wanted = held.c.digest.in_(bindparam("wanted", expanding=True))
    return select(held.c.digest).where(in_repository, wanted, damage_rows.is_whole(held.c.digest))


def forget_origins(connection: Connection, repository: Repository, targets: Collection[str], now: datetime) -> None:
    """Forget the origins of tags or digests that are no longer those that were pulled through."""
    for part in parts(targets):
        left = connection.execute(_NO_LONGER_PULLED, {"name": repository.name, "targets": part}).scalars().all()
        # An incomplete manifest has its tags here only.
        review_rows.review(connection, ReviewKind.MANIFEST, repository.name, left, ReviewCause.MOVED, now=now)


def absent_of(connection: Connection, repository: Repository, manifest: Digest) -> set[str]:
    """Return the digests of content that a manifest names and that its repository may lack."""
    return set(connection.execute(_ABSENT, {"name": repository.name, "naming": str(manifest)}).scalars())


def forget_absent(connection: Connection, repository: Repository, manifest: Digest) -> None:
    """Forget what a manifest lacks. Its repository then needs everything that the manifest names."""
    connection.execute(_NO_LONGER_ABSENT, {"name": repository.name, "naming": str(manifest)})


def forget_arrivals(connection: Connection, repository: Repository, digest: Digest) -> None:
    """Forget the sources of a plugin, unless its repository still holds it, complete or incomplete."""
    connection.execute(_NO_LONGER_ARRIVED, {"name": repository.name, "gone": str(digest)})


def drop_incomplete(connection: Connection, repository: Repository, digest: Digest) -> bool:
    """Remove a manifest from the incomplete ones. Return True if it was one of them."""
    return bool(connection.execute(_NO_LONGER_INCOMPLETE, {"name": repository.name, "held": str(digest)}).rowcount)


def parts(values: Iterable[Value]) -> Iterator[list[Value]]:
    """Iterate over values in lists that are short enough for the parameters of one statement."""
    remaining = iter(values)
    while part := list(islice(remaining, _IN_LIMIT)):
        yield part
