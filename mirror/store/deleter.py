"""Deletion from the store. Only rows are removed; the collection removes bytes that nothing needs."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, delete

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NotFound, RepositoryUnknown
from mirror.records.changes.change import Change, ChangeKind
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog import review_rows, rows
from mirror.store.catalog.change_rows import note_change, note_tags
from mirror.store.catalog.manifest_rows import remove_manifest
from mirror.store.catalog.tables.content_tables import repository_blobs, tags
from mirror.store.catalog.tag_guards import require_deletable
from mirror.store.store_services import StoreServices

_TAG: Final = (
    delete(tags)
    .where(tags.c.repository_id == bindparam("of_repository"), tags.c.name == bindparam("tag"))
    .returning(tags.c.digest)
)
_BLOB: Final = delete(repository_blobs).where(
    repository_blobs.c.repository_id == bindparam("of_repository"), repository_blobs.c.digest == bindparam("held")
)


class StoreDeleter:
    """Implements :class:`mirror.registry.port.Deleter`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock
        self._immutable = services.immutable

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        now = self._clock.now()

        def remove(connection: Connection) -> None:
            wanted = {"of_repository": _require_repository(connection, repository), "tag": tag.name}
            require_deletable(connection, repository, tag, self._immutable)
            pointed = connection.execute(_TAG, wanted).scalar_one_or_none()
            if pointed is None:
                raise ManifestUnknown(f"{repository} has no tag {tag}", name=repository, reference=tag)
            note_tags(connection, now, repository, None, [(tag.name, pointed)])
            review_rows.review(
                connection, ReviewKind.MANIFEST, repository.name, [pointed], ReviewCause.DELETED, now=now
            )

        await self._catalog.write(remove)

    async def check_deletable(self, repository: Repository, tag: Tag) -> None:
        """Check that a tag may be deleted. Raises Protected if it is pinned or immutable."""
        await self._catalog.read(lambda connection: require_deletable(connection, repository, tag, self._immutable))

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        now = self._clock.now()

        def remove(connection: Connection) -> None:
            _require_repository(connection, repository)
            require_deletable(connection, repository, digest, self._immutable)
            if not remove_manifest(connection, repository, digest, ReviewCause.DELETED, now):
                raise ManifestUnknown(f"{repository} has no manifest {digest}", name=repository, reference=digest)

        await self._catalog.write(remove)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        unknown = BlobUnknown(f"{repository} has no blob {digest}", name=repository, digest=digest)
        now = self._clock.now()

        def remove(connection: Connection) -> None:
            repository_id = rows.find_repository(connection, repository)
            if repository_id is None:
                raise unknown
            require_deletable(connection, repository, digest, self._immutable)
            if not connection.execute(_BLOB, {"of_repository": repository_id, "held": str(digest)}).rowcount:
                raise unknown
            gone = Change(ChangeKind.BLOB_DELETED, f"{repository}@{digest}", repository.name, before=str(digest))
            note_change(connection, now, gone)
            review_rows.review(connection, ReviewKind.CONTENT, "", [str(digest)], ReviewCause.DELETED, now=now)
            rows.drop_repository_if_empty(connection, repository_id)

        await self._catalog.write(remove)


def _require_repository(connection: Connection, repository: Repository) -> int:
    """Return the id of a repository. Raises RepositoryUnknown if it holds nothing."""
    repository_id = rows.find_repository(connection, repository)
    if repository_id is None:
        raise _no_repository(repository)
    return repository_id


def _no_repository(repository: Repository) -> NotFound:
    return RepositoryUnknown(f"the registry has no repository {repository}", name=repository)
