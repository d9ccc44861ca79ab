"""Content that the store holds, looked up for runs of mirror rules, in the catalog."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, bindparam, select

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.store.catalog import rows
from mirror.store.catalog.damage_rows import is_whole
from mirror.store.catalog.tables.content_tables import blobs, manifests, repositories, tags
from mirror.store.store_services import StoreServices

_TAGS = (
    select(tags.c.name, tags.c.digest)
    .join(repositories, repositories.c.id == tags.c.repository_id)
    .where(repositories.c.name == bindparam("repository"), tags.c.name.in_(bindparam("names", expanding=True)))
)
_ANYWHERE = (
    select(manifests.c.digest, manifests.c.media_type, blobs.c.size_bytes)
    .join(blobs, blobs.c.digest == manifests.c.digest)
    .where(
        manifests.c.digest == bindparam("digest"),
        manifests.c.media_type == bindparam("media_type"),
        is_whole(manifests.c.digest),
    )
    .limit(1)
)


class SqlHeldContent:
    """Implements the part of :class:`mirror.records.sync_runs.RunRecorder` that reads tags and manifests."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._manifests = services.manifests

    async def tag_digests(self, repository: Repository, tags: Collection[Tag]) -> Mapping[Tag, Digest]:
        def read(connection: Connection) -> dict[Tag, Digest]:
            return {
                Tag(row.name): Digest.parse(row.digest)
                for part in rows.parts(tag.name for tag in tags)
                for row in connection.execute(_TAGS, {"repository": repository.name, "names": part})
            }

        return await self._catalog.read_long(read) if tags else {}

    async def held_manifest(self, owner: Repository, digest: Digest, media_type: str) -> Manifest | None:
        wanted = {"digest": str(digest), "media_type": media_type}
        return await self._manifests.find(owner, _ANYWHERE, wanted)
