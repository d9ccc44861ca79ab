"""Deletion from the store. Only rows are removed; garbage collection removes bytes that nothing needs."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import ColumnElement, Connection, Table, delete

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NotFound, RepositoryUnknown
from mirror.store.catalog import plugin_rows, rows
from mirror.store.catalog.tables.content_tables import manifests, repository_blobs, tags
from mirror.store.store_services import StoreServices


class StoreDeleter:
    """Implements :class:`mirror.registry.port.Deleter`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        unknown = ManifestUnknown(f"{repository} has no tag {tag}", name=repository, reference=tag)
        await self._delete(repository, tags, tags.c.name == tag.name, unknown, _no_repository(repository))

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        unknown = ManifestUnknown(f"{repository} has no manifest {digest}", name=repository, reference=digest)
        in_repository = manifests.c.digest == str(digest)  # the foreign key deletes its tags
        await self._delete(
            repository,
            manifests,
            in_repository,
            unknown,
            _no_repository(repository),
            then=lambda connection: _forget_about(connection, repository, digest),
        )

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        unknown = BlobUnknown(f"{repository} has no blob {digest}", name=repository, digest=digest)
        await self._delete(repository, repository_blobs, repository_blobs.c.digest == str(digest), unknown, unknown)

    async def _delete(
        self,
        repository: Repository,
        table: Table,
        which: ColumnElement[bool],
        unknown: NotFound,
        nowhere: NotFound,
        *,
        then: Callable[[Connection], object] = lambda _connection: None,
    ) -> None:
        """Delete one row.

        Raises:
            NotFound: ``unknown`` if there is no such row, ``nowhere`` if there is no such repository.
        """

        def remove(connection: Connection) -> None:
            repository_id = rows.find_repository(connection, repository)
            if repository_id is None:
                raise nowhere
            deleted = connection.execute(delete(table).where(table.c.repository_id == repository_id, which))
            if not deleted.rowcount:
                raise unknown
            then(connection)
            rows.drop_repository_if_empty(connection, repository_id)

        await self._catalog.write(remove)


def _forget_about(connection: Connection, repository: Repository, digest: Digest) -> None:
    plugin_rows.forget(connection, repository, digest)
    rows.forget_absent(connection, repository, digest)


def _no_repository(repository: Repository) -> NotFound:
    return RepositoryUnknown(f"the registry has no repository {repository}", name=repository)
