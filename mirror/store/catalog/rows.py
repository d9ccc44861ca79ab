"""Rows that several kinds of change write. Callers are alone: each runs inside :meth:`Catalog.write`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import islice

from sqlalchemy import Column, Table, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import Digest
from mirror.oci.names import Repository
from mirror.store.catalog.tables import (
    blobs,
    incomplete_manifests,
    manifests,
    origins,
    repositories,
    repository_blobs,
)

#: Most values in one IN list; databases set limits from 999 on.
_IN_LIMIT = 500


async def find_repository(connection: AsyncConnection, repository: Repository) -> int | None:
    """The id of a repository that holds something; None where it holds nothing."""
    statement = select(repositories.c.id).where(repositories.c.name == repository.name)
    return (await connection.execute(statement)).scalar_one_or_none()


async def ensure_repository(connection: AsyncConnection, repository: Repository) -> int:
    """The id of a repository that is about to hold something."""
    repository_id = await find_repository(connection, repository)
    if repository_id is None:
        statement = insert(repositories).values(name=repository.name).returning(repositories.c.id)
        repository_id = (await connection.execute(statement)).scalar_one()
    return repository_id


async def drop_repository_if_empty(connection: AsyncConnection, repository_id: int) -> None:
    """End a repository that holds neither blob nor manifest any more."""
    holds = exists().where(repository_blobs.c.repository_id == repository_id)
    holds_manifest = exists().where(manifests.c.repository_id == repository_id)
    await connection.execute(delete(repositories).where(repositories.c.id == repository_id, ~holds, ~holds_manifest))


async def put(
    connection: AsyncConnection, table: Table, key: Mapping[str, object], values: Mapping[str, object]
) -> None:
    """Make the row of ``key`` hold ``values``, whether it exists or not."""
    here = [table.c[name] == value for name, value in key.items()]
    if not (await connection.execute(update(table).where(*here).values(**values))).rowcount:
        await connection.execute(insert(table).values(**key, **values))


async def add_content(connection: AsyncConnection, digest: Digest, size_bytes: int, now: datetime) -> None:
    """Note that the bytes of ``digest`` are durable."""
    await put(connection, blobs, {"digest": str(digest)}, {"size_bytes": size_bytes, "stored_at": now})


async def knows_content(connection: AsyncConnection, digest: Digest) -> bool:
    """Whether the bytes of ``digest`` belong to something."""
    found = await connection.execute(select(blobs.c.digest).where(blobs.c.digest == str(digest)))
    return found.scalar_one_or_none() is not None


async def add_blob(connection: AsyncConnection, repository: Repository, digest: Digest, now: datetime) -> None:
    """Let a repository hold a blob whose bytes are durable."""
    key = {"repository_id": await ensure_repository(connection, repository), "digest": str(digest)}
    await put(connection, repository_blobs, key, {"added_at": now})


async def first_missing(
    connection: AsyncConnection, held: Table, repository_id: int, wanted: Collection[Digest]
) -> Digest | None:
    """The first of ``wanted`` that the repository has no row for in ``held``; None where it has them all."""
    digest: Column[str] = held.c.digest
    there: set[str] = set()
    for part in _parts([str(one) for one in wanted]):
        statement = select(digest).where(held.c.repository_id == repository_id, digest.in_(part))
        there.update((await connection.execute(statement)).scalars())
    return next((one for one in wanted if str(one) not in there), None)


async def forget_origins(connection: AsyncConnection, repository: Repository, targets: Collection[str]) -> None:
    """These tags or digests no longer are what was pulled through."""
    for part in _parts(targets):
        here = (origins.c.repository == repository.name) & origins.c.target.in_(part)
        await connection.execute(delete(origins).where(here))


async def drop_incomplete(connection: AsyncConnection, repository: Repository, digest: Digest) -> bool:
    """No longer hold a manifest as an incomplete one; gives whether it was held."""
    table = incomplete_manifests
    here = (table.c.repository == repository.name) & (table.c.digest == str(digest))
    return bool((await connection.execute(delete(table).where(here))).rowcount)


def _parts(values: Iterable[str]) -> Iterable[list[str]]:
    remaining = iter(values)
    while part := list(islice(remaining, _IN_LIMIT)):
        yield part
