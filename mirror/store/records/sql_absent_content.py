"""Absent content, in the catalog."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, exists, select

from mirror.oci import Digest, Repository
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.store.catalog import rows
from mirror.store.catalog.tables.content_tables import absent_content, manifests, repositories, repository_blobs
from mirror.store.store_services import StoreServices

_ROW = absent_content.c
_HERE = [
    exists().where(
        repositories.c.name == _ROW.repository,
        holding.c.repository_id == repositories.c.id,
        holding.c.digest == _ROW.digest,
    )
    for holding in (manifests, repository_blobs)
]
_ABSENT = select(absent_content).where(*(~held for held in _HERE)).order_by(_ROW.manifest, _ROW.digest)


class SqlAbsentContent:
    """Implements :class:`mirror.records.absent_content.AbsentContents`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def record_absent(
        self, repository: Repository, manifest: Digest, contents: Collection[AbsentContent]
    ) -> None:
        await self._catalog.write(lambda connection: put_absent(connection, repository, manifest, contents))

    async def absent_content(
        self, repository: Repository, *, manifest: Digest | None = None, digest: Digest | None = None
    ) -> Sequence[AbsentContent]:
        statement = _ABSENT.where(_ROW.repository == repository.name)
        if manifest is not None:
            statement = statement.where(_ROW.manifest == str(manifest))
        if digest is not None:
            statement = statement.where(_ROW.digest == str(digest))
        found = await self._catalog.read(lambda connection: connection.execute(statement).all())
        return [
            AbsentContent(Digest.parse(row.manifest), Digest.parse(row.digest), AbsenceReason(row.reason), row.detail)
            for row in found
        ]


def put_absent(
    connection: Connection, repository: Repository, manifest: Digest, contents: Collection[AbsentContent]
) -> None:
    """Write the rows of everything that a manifest lacks. Only inside :meth:`Catalog.write`."""
    rows.forget_absent(connection, repository, manifest)
    add_absent(connection, repository, *{each.digest: each for each in contents}.values())


def add_absent(connection: Connection, repository: Repository, *contents: AbsentContent) -> None:
    """Write rows of absent content beside those that exist. Only inside :meth:`Catalog.write`."""
    rows.put(
        connection,
        absent_content,
        *(
            {
                "repository": repository.name,
                "manifest": str(each.manifest),
                "digest": str(each.digest),
                "reason": each.reason.value,
                "detail": each.detail,
            }
            for each in contents
        ),
    )
