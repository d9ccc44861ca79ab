"""Origins of pulled-through content, in the catalog."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, or_, select

from mirror.oci import Digest, Repository, Tag
from mirror.records.origins import Origin
from mirror.store.catalog import plugin_rows, rows
from mirror.store.catalog.tables.content_tables import origins, repositories, tags
from mirror.store.catalog.tables.sync_tables import mirrored_tags
from mirror.store.store_services import StoreServices

_ORIGIN = select(origins).where(origins.c.repository == bindparam("name"), origins.c.target == bindparam("wanted"))


class SqlOrigins:
    """Implements :class:`mirror.records.origins.Origins`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._cache = services.cache

    async def origin(self, repository: Repository, target: Tag | Digest) -> Origin | None:
        known = self._cache.origin(repository, target)
        if known is not None:
            return known[0]
        # Taken before the read: after a change in between, the kept result is not valid.
        generation = self._cache.generation
        row = await self._catalog.read(lambda connection: _find(connection, repository, target))
        origin = None if row is None else origin_of(row)
        self._cache.keep_origin(generation, repository, target, origin)
        return origin

    async def record_origin(self, repository: Repository, target: Tag | Digest, origin: Origin) -> None:
        def work(connection: Connection) -> None:
            # A tag without an origin was pushed meanwhile, and stays a pushed one.
            if isinstance(target, Digest) or _find(connection, repository, target) is not None:
                put_origin(connection, repository, target, origin)

        await self._catalog.write(work)

    async def is_ours(self, repository: Repository) -> bool:
        condition = repositories.c.name == repository.name
        pulled = exists().where(origins.c.repository == repository.name)
        mirrored = exists().where(mirrored_tags.c.repository == repository.name)
        pushed_tag = exists().where(tags.c.repository_id == repositories.c.id, tags.c.pushed)
        # Tags come last in a push. A repository with content that no rule or pull has brought is being pushed to now.
        pushed = select(repositories.c.id).where(condition, or_(pushed_tag, ~pulled & ~mirrored))
        found = await self._catalog.read(lambda connection: connection.execute(pushed).scalar_one_or_none())
        return found is not None

    async def forget(self, repository: Repository, target: Tag | Digest) -> bool:
        def work(connection: Connection) -> bool:
            condition = origins.c.repository == repository.name
            if isinstance(target, Tag):
                statement = delete(origins).where(condition, origins.c.target == target.name)
                return bool((connection.execute(statement)).rowcount)
            # The row of the digest itself stays: without it the repository would count as pushed to.
            pointing = delete(origins).where(
                condition, origins.c.digest == str(target), origins.c.target != str(target)
            )
            connection.execute(pointing)
            dropped = rows.drop_incomplete(connection, repository, target)
            plugin_rows.forget(connection, repository, target)
            if dropped:
                rows.forget_absent(connection, repository, target)
            return dropped

        return await self._catalog.write(work)


def origin_of(row: Row[Any]) -> Origin:
    """Read an origin from a row."""
    return Origin(row.upstream, Repository(row.source), Digest.parse(row.digest), row.checked_at, row.asked_at)


def put_origin(connection: Connection, repository: Repository, target: Tag | Digest, origin: Origin) -> None:
    """Write the row of an origin. Only inside :meth:`Catalog.write`."""
    row = {
        "repository": repository.name,
        "target": str(target),
        "upstream": origin.upstream,
        "source": origin.source.name,
        "digest": str(origin.digest),
        "checked_at": origin.checked_at,
        "asked_at": origin.asked_at,
    }
    rows.put(connection, origins, row)


def _find(connection: Connection, repository: Repository, target: Tag | Digest) -> Row[Any] | None:
    return connection.execute(_ORIGIN, {"name": repository.name, "wanted": str(target)}).one_or_none()
