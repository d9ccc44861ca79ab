"""Content that the store holds, looked up for runs of mirror rules, in the catalog."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection, bindparam, select

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.store.catalog.tables.content_tables import blobs, manifests, repositories, tags
from mirror.store.store_services import StoreServices

#: Tags named in one statement. SQLite accepts some tens of thousands of parameters.
_TAGS_AT_ONCE: Final = 1000

_TAGS = (
    select(tags.c.name, tags.c.digest)
    .join(repositories, repositories.c.id == tags.c.repository_id)
    .where(repositories.c.name == bindparam("repository"), tags.c.name.in_(bindparam("names", expanding=True)))
)
_ANYWHERE = (
    select(manifests.c.digest, manifests.c.media_type, blobs.c.size_bytes)
    .join(blobs, blobs.c.digest == manifests.c.digest)
    .where(manifests.c.digest == bindparam("digest"), manifests.c.media_type == bindparam("media_type"))
    .limit(1)
)


class SqlHeldContent:
    """Implements the part of :class:`mirror.records.sync_runs.RunRecorder` that reads tags and manifests."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._manifests = services.manifests

    async def tag_digests(self, repository: Repository, tags: Collection[Tag]) -> Mapping[Tag, Digest]:
        names = [tag.name for tag in tags]

        def read(connection: Connection) -> dict[Tag, Digest]:
            found: dict[Tag, Digest] = {}
            for start in range(0, len(names), _TAGS_AT_ONCE):
                wanted = {"repository": repository.name, "names": names[start : start + _TAGS_AT_ONCE]}
                found |= {Tag(row.name): Digest.parse(row.digest) for row in connection.execute(_TAGS, wanted)}
            return found

        return await self._catalog.read_long(read) if names else {}

    async def held_manifest(self, owner: Repository, digest: Digest, media_type: str) -> Manifest | None:
        wanted = {"digest": str(digest), "media_type": media_type}
        return await self._manifests.find(owner, _ANYWHERE, wanted)
