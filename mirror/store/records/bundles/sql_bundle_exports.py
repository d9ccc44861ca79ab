"""Exported bundles, and the facts that travel with content, in the catalog."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, func, select, union_all

from mirror.oci import Digest, Repository, Tag
from mirror.records.bundle_exports import ExportRecord, TagSource
from mirror.records.derivations import Derivation
from mirror.store.catalog import rows
from mirror.store.catalog.tables.bundle_tables import bundle_exports, bundle_notes
from mirror.store.catalog.tables.content_tables import derivations, manifests, origins, repositories, tags
from mirror.store.catalog.tables.sync_tables import mirrored_tags
from mirror.store.records.sql_derivations import derivation_of
from mirror.store.store_services import StoreServices

_STREAM: Final = bundle_exports.c.stream == bindparam("wanted")
_LAST: Final = select(bundle_exports).where(_STREAM).order_by(bundle_exports.c.serial.desc()).limit(1)
_LATEST: Final = select(bundle_exports).order_by(bundle_exports.c.created_at.desc(), bundle_exports.c.serial.desc())
_WITH: Final = select(bundle_exports).where(bundle_exports.c.statement == bindparam("sought")).limit(1)
_BETWEEN: Final = (
    select(bundle_exports)
    .where(_STREAM, bundle_exports.c.serial.between(bindparam("first"), bindparam("last")))
    .order_by(bundle_exports.c.serial)
)
_HIGHEST: Final = (
    select(bundle_exports.c.serial, bundle_exports.c.statement)
    .where(_STREAM)
    .order_by(bundle_exports.c.serial.desc())
    .limit(1)
)
_TAGS: Final[Select[Any]] = (
    select(
        repositories.c.name.label("repository"),
        tags.c.name.label("tag"),
        mirrored_tags.c.rule,
        mirrored_tags.c.upstream,
        mirrored_tags.c.source,
        mirrored_tags.c.brought_at,
        origins.c.upstream.label("pulled_upstream"),
        origins.c.source.label("pulled_source"),
        origins.c.checked_at,
    )
    .join(repositories, repositories.c.id == tags.c.repository_id)
    .outerjoin(
        mirrored_tags,
        (mirrored_tags.c.repository == repositories.c.name)
        & (mirrored_tags.c.tag == tags.c.name)
        & (mirrored_tags.c.digest == tags.c.digest)
        & ~tags.c.pushed,
    )
    .outerjoin(
        origins,
        (origins.c.repository == repositories.c.name) & (origins.c.target == tags.c.name) & ~tags.c.pushed,
    )
)
_SEEN: Final = union_all(
    select(manifests.c.digest, manifests.c.created_at.label("at")).where(
        manifests.c.digest.in_(bindparam("digests", expanding=True))
    ),
    select(bundle_notes.c.digest, bundle_notes.c.first_seen_at.label("at")).where(
        bundle_notes.c.digest.in_(bindparam("digests", expanding=True))
    ),
).subquery()
_FIRST_SEEN: Final = select(_SEEN.c.digest, func.min(_SEEN.c.at).label("at")).group_by(_SEEN.c.digest)
_DERIVED: Final = select(derivations).where(derivations.c.digest.in_(bindparam("digests", expanding=True)))


class SqlBundleExports:
    """Implements :class:`mirror.records.bundle_exports.BundleExports`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def last_export(self, stream: str | None = None) -> ExportRecord | None:
        statement, wanted = (_LATEST.limit(1), {}) if stream is None else (_LAST, {"wanted": stream})
        row = await self._catalog.read(lambda connection: connection.execute(statement, wanted).one_or_none())
        return None if row is None else _record(row)

    async def export_with(self, statement: Digest) -> ExportRecord | None:
        wanted = {"sought": str(statement)}
        row = await self._catalog.read(lambda connection: connection.execute(_WITH, wanted).one_or_none())
        return None if row is None else _record(row)

    async def exports_between(self, stream: str, first: int, last: int) -> Sequence[ExportRecord]:
        wanted = {"wanted": stream, "first": first, "last": last}
        return await self._catalog.read_long(
            lambda connection: [_record(row) for row in connection.execute(_BETWEEN, wanted)]
        )

    async def record_export(self, record: ExportRecord) -> bool:
        row = {
            "stream": record.stream,
            "serial": record.serial,
            "created_at": record.created_at,
            "statement": str(record.statement),
            "head": zlib.compress(record.head),
        }

        def work(connection: Connection) -> bool:
            highest = connection.execute(_HIGHEST, {"wanted": record.stream}).one_or_none()
            if highest is not None and highest.serial >= record.serial:
                return (highest.serial, highest.statement) == (record.serial, str(record.statement))
            rows.put(connection, bundle_exports, row)
            return True

        return await self._catalog.write_uncached(work)

    async def tag_sources(self) -> Mapping[tuple[Repository, Tag], TagSource]:
        def read(connection: Connection) -> dict[tuple[Repository, Tag], TagSource]:
            return {(Repository(row.repository), Tag(row.tag)): _tag_source(row) for row in connection.execute(_TAGS)}

        return await self._catalog.read_long(read)

    async def first_seen(self, digests: Collection[Digest]) -> Mapping[Digest, datetime]:
        found = await self._catalog.read_long(lambda connection: list(_in_turns(connection, _FIRST_SEEN, digests)))
        return {Digest.parse(row.digest): row.at for row in found}

    async def derivations_of(self, digests: Collection[Digest]) -> Mapping[Digest, Derivation]:
        found = await self._catalog.read_long(lambda connection: list(_in_turns(connection, _DERIVED, digests)))
        return {Digest.parse(row.digest): derivation_of(row) for row in found}


def _in_turns(connection: Connection, statement: Select[Any], digests: Collection[Digest]) -> Iterator[Row[Any]]:
    for part in rows.parts(map(str, digests)):
        yield from connection.execute(statement, {"digests": part})


def _tag_source(row: Row[Any]) -> TagSource:
    if row.pulled_upstream is not None:
        return TagSource("", f"{row.pulled_upstream}/{row.pulled_source}", row.checked_at)
    if row.rule is not None:
        return TagSource(row.rule, f"{row.upstream}/{row.source}", row.brought_at)
    return TagSource()


def _record(row: Row[Any]) -> ExportRecord:
    return ExportRecord(row.stream, row.serial, row.created_at, Digest.parse(row.statement), zlib.decompress(row.head))
