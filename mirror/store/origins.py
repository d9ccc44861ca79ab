"""Where content came from that was pulled through, kept beside it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import Digest
from mirror.oci.names import Repository, Tag
from mirror.registry.origins import Origin
from mirror.store.catalog import rows
from mirror.store.catalog.tables import mirrored_tags, origins, repositories, tags
from mirror.store.parts import StoreParts


class StoreOrigins(StoreParts):
    """Implements :class:`mirror.registry.origins.Origins`."""

    async def origin(self, repository: Repository, target: Tag | Digest) -> Origin | None:
        known = self._cache.origin(repository, target)
        if known is not None:
            return known[0]
        generation = self._cache.generation
        here = (origins.c.repository == repository.name) & (origins.c.target == str(target))
        async with self._catalog.read() as connection:
            row = (await connection.execute(select(origins).where(here))).one_or_none()
        origin = None if row is None else origin_of(row)
        self._cache.keep_origin(generation, repository, target, origin)
        return origin

    async def record_origin(self, repository: Repository, target: Tag | Digest, origin: Origin) -> None:
        async def work(connection: AsyncConnection) -> None:
            here = (origins.c.repository == repository.name) & (origins.c.target == str(target))
            known = (await connection.execute(select(origins.c.target).where(here))).scalar_one_or_none()
            if known or isinstance(target, Digest):
                await put_origin(connection, repository, target, origin)

        await self._catalog.write(work)

    async def is_ours(self, repository: Repository) -> bool:
        here = repositories.c.name == repository.name
        pulled = exists().where(origins.c.repository == repository.name)
        pulled_tag = exists().where(origins.c.repository == repository.name, origins.c.target == tags.c.name)
        mirrored_tag = exists().where(
            mirrored_tags.c.repository == repository.name,
            mirrored_tags.c.tag == tags.c.name,
            mirrored_tags.c.digest == tags.c.digest,
        )
        mirrored = exists().where(mirrored_tags.c.repository == repository.name)
        pushed_tag = exists().where(tags.c.repository_id == repositories.c.id, ~pulled_tag, ~mirrored_tag)
        # What holds something that nobody has brought is being pushed to just now, tags come last.
        pushed = select(repositories.c.id).where(here, or_(pushed_tag, ~pulled & ~mirrored))
        async with self._catalog.read() as connection:
            return (await connection.execute(pushed)).scalar_one_or_none() is not None

    async def forget(self, repository: Repository, target: Tag | Digest) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            here = origins.c.repository == repository.name
            if isinstance(target, Tag):
                statement = delete(origins).where(here, origins.c.target == target.name)
                return bool((await connection.execute(statement)).rowcount)
            # The digest's own row stays: it tells that the repository was not pushed to.
            pointing = delete(origins).where(here, origins.c.digest == str(target), origins.c.target != str(target))
            await connection.execute(pointing)
            return await rows.drop_incomplete(connection, repository, target)

        return await self._catalog.write(work)


def origin_of(row: Row[Any]) -> Origin:
    """An origin as it stands in a row."""
    return Origin(row.upstream, Repository(row.source), Digest.parse(row.digest), row.checked_at, row.asked_at)


async def put_origin(connection: AsyncConnection, repository: Repository, target: Tag | Digest, origin: Origin) -> None:
    """Write the row. Only inside :meth:`Catalog.write`."""
    key = {"repository": repository.name, "target": str(target)}
    values = {
        "upstream": origin.upstream,
        "source": origin.source.name,
        "digest": str(origin.digest),
        "checked_at": origin.checked_at,
        "asked_at": origin.asked_at,
    }
    await rows.put(connection, origins, key, values)
