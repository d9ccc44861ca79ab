"""Manifests that were pulled through, until everything that they name is here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, exists, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestBlobUnknown
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.registry.origins import Origin
from mirror.store.adoption import adopt
from mirror.store.bodies import load_manifest
from mirror.store.catalog import rows
from mirror.store.catalog.tables import (
    blobs,
    incomplete_children,
    incomplete_manifests,
    origins,
    repositories,
    tags,
)
from mirror.store.origins import origin_of, put_origin
from mirror.store.parts import StoreParts
from mirror.store.writer import hold_manifest, referrer_columns

_MANIFEST = select(incomplete_manifests.c.digest, incomplete_manifests.c.media_type, blobs.c.size_bytes).join(
    blobs, blobs.c.digest == incomplete_manifests.c.digest
)


class StoreIncomplete(StoreParts):
    """Implements :class:`mirror.registry.origins.IncompleteManifests`."""

    async def keep_incomplete(
        self, repository: Repository, manifest: Manifest, origin: Origin, tag: Tag | None = None
    ) -> None:
        referrer_columns(manifest)  # what could not be kept later is refused now
        now = self._clock.now()
        children = [
            {"digest": str(child.digest), "size_bytes": child.size_bytes}
            for child in (*manifest.blobs, *manifest.manifests)
        ]

        async def hold(connection: AsyncConnection) -> None:
            here = {"repository": repository.name, "manifest": str(manifest.digest)}
            await rows.drop_incomplete(connection, repository, manifest.digest)
            await connection.execute(
                insert(incomplete_manifests).values(
                    repository=repository.name,
                    digest=str(manifest.digest),
                    media_type=manifest.media_type,
                    kept_at=now,
                )
            )
            if children:
                once = {child["digest"]: {**child, **here} for child in children}
                await connection.execute(insert(incomplete_children), list(once.values()))
            await put_origin(connection, repository, manifest.digest, origin)
            if tag is not None and not await _is_held(connection, repository, tag):
                await put_origin(connection, repository, tag, origin)
            await _complete(connection, repository, manifest, now)

        async with self._blobs.staged(manifest.content) as file:
            size_bytes = manifest.size_bytes
            await adopt(self._catalog, self._blobs, file, manifest.digest, size_bytes=size_bytes, now=now, hold=hold)

    async def incomplete(self, repository: Repository, digest: Digest) -> Manifest | None:
        here = (incomplete_manifests.c.repository == repository.name) & (incomplete_manifests.c.digest == str(digest))
        found = await self._incomplete_where(here)
        return found[0] if found else None

    async def awaited(self, repository: Repository, digest: Digest) -> tuple[int, Origin] | None:
        child = incomplete_children.c
        here = (origins.c.repository == child.repository) & (origins.c.target == child.manifest)
        statement = (
            select(child.size_bytes, origins)
            .join(origins, here)
            .where(child.repository == repository.name, child.digest == str(digest))
            .limit(1)
        )
        async with self._catalog.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else (row.size_bytes, origin_of(row))

    async def arrived(self, repository: Repository, digest: Digest) -> None:
        naming = select(incomplete_children.c.manifest).where(
            incomplete_children.c.repository == repository.name, incomplete_children.c.digest == str(digest)
        )
        found = await self._incomplete_where(
            (incomplete_manifests.c.repository == repository.name) & incomplete_manifests.c.digest.in_(naming)
        )
        if not found:
            return
        now = self._clock.now()

        async def work(connection: AsyncConnection) -> list[Digest]:
            return [each.digest for each in found if await _complete(connection, repository, each, now)]

        for completed in await self._catalog.write(work):
            await self.arrived(repository, completed)  # an index may have waited for it

    async def _incomplete_where(self, which: ColumnElement[bool]) -> list[Manifest]:
        async with self._catalog.read() as connection:
            found = (await connection.execute(_MANIFEST.where(which))).all()
        return [await self._body(Digest.parse(row.digest), row.media_type, row.size_bytes) for row in found]

    async def _body(self, digest: Digest, media_type: str, size_bytes: int) -> Manifest:
        manifest = self._cache.body(digest, media_type)
        if manifest is None:
            manifest = await load_manifest(self._blobs, digest, media_type, size_bytes)
            self._cache.keep_body(manifest)
        return manifest


async def _is_held(connection: AsyncConnection, repository: Repository, tag: Tag) -> bool:
    """Whether a tag was brought in another way, perhaps while the upstream was being asked: it stays what it is."""
    pulled = exists().where(origins.c.repository == repository.name, origins.c.target == tag.name)
    held = (
        select(tags.c.name)
        .join(repositories, repositories.c.id == tags.c.repository_id)
        .where(repositories.c.name == repository.name, tags.c.name == tag.name, ~pulled)
    )
    return (await connection.execute(held)).scalar_one_or_none() is not None


async def _complete(connection: AsyncConnection, repository: Repository, manifest: Manifest, now: datetime) -> bool:
    """Make a manifest that lacks nothing one as others are, with the tags that were pulled through with it."""
    pointing = select(origins.c.target).where(
        origins.c.repository == repository.name, origins.c.digest == str(manifest.digest)
    )
    targets = (await connection.execute(pointing)).scalars()
    pointing_tags = [Tag(target) for target in targets if target != str(manifest.digest)]
    referrer = referrer_columns(manifest)
    try:
        await hold_manifest(connection, repository, manifest, pointing_tags, now=now, referrer=referrer)
    except ManifestBlobUnknown:
        await rows.drop_repository_if_empty(connection, await rows.ensure_repository(connection, repository))
        return False
    return True
