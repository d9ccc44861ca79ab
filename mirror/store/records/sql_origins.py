"""Origins of pulled-through content, in the catalog."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, or_, select

from mirror.oci import Digest, Repository, Tag
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.records.origins import Origin
from mirror.store.catalog import review_rows, rows
from mirror.store.catalog.manifest_rows import review_left_behind
from mirror.store.catalog.tables.content_tables import origins, repositories, tags
from mirror.store.catalog.tables.sync_tables import mirrored_tags
from mirror.store.catalog.tag_guards import require_deletable
from mirror.store.store_services import StoreServices

_ORIGIN = select(origins).where(origins.c.repository == bindparam("name"), origins.c.target == bindparam("wanted"))


class SqlOrigins:
    """Implements :class:`mirror.records.origins.Origins`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._cache = services.cache
        self._clock = services.clock
        self._immutable = services.immutable

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
        now = self._clock.now()

        def work(connection: Connection) -> None:
            # A tag without an origin was pushed meanwhile, and stays a pushed one.
            if isinstance(target, Digest) or _find(connection, repository, target) is not None:
                put_origin(connection, repository, target, origin, now)

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
        now = self._clock.now()

        def work(connection: Connection) -> bool:
            require_deletable(connection, repository, target, self._immutable)
            condition = origins.c.repository == repository.name
            if isinstance(target, Tag):
                statement = delete(origins).where(condition, origins.c.target == target.name)
                left = connection.execute(statement.returning(origins.c.digest)).scalars().all()
                review_rows.review(connection, ReviewKind.MANIFEST, repository.name, left, ReviewCause.DELETED, now=now)
                return bool(left)
            # The row of the digest itself stays: without it the repository would count as pushed to.
            pointing = delete(origins).where(
                condition, origins.c.digest == str(target), origins.c.target != str(target)
            )
            connection.execute(pointing)
            dropped = rows.drop_incomplete(connection, repository, target)
            if dropped:
                review_left_behind(connection, repository, target, ReviewCause.DELETED, now)
            return dropped

        return await self._catalog.write(work)


def origin_of(row: Row[Any]) -> Origin:
    """Read an origin from a row."""
    return Origin(row.upstream, Repository(row.source), Digest.parse(row.digest), row.checked_at, row.asked_at)


def put_origin(
    connection: Connection, repository: Repository, target: Tag | Digest, origin: Origin, now: datetime
) -> None:
    """Write the row of an origin. Only inside :meth:`Catalog.write`."""
    before = _find(connection, repository, target)
    if before is not None and before.digest != str(origin.digest):
        left = [before.digest]
        review_rows.review(connection, ReviewKind.MANIFEST, repository.name, left, ReviewCause.MOVED, now=now)
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
