"""The end of an import of a bundle, in the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.sqlite import insert

from mirror.oci import Digest
from mirror.oci.errors import ManifestUnknown, Protected
from mirror.records.bundle_imports import ComingTag, ImportChanges
from mirror.records.bundle_trust import StreamState
from mirror.records.changes.change import Change, ChangeKind
from mirror.records.sync_runs import MirroredTag, TagChange, TagEvent
from mirror.store.catalog import rows
from mirror.store.catalog.change_rows import note_change
from mirror.store.catalog.manifest_rows import point_tags
from mirror.store.catalog.tables.bundle_tables import bundle_notes
from mirror.store.catalog.tables.content_tables import manifests
from mirror.store.catalog.tables.content_tables import tags as tags_table
from mirror.store.catalog.tables.sync_tables import mirrored_tags
from mirror.store.catalog.tag_guards import require_movable
from mirror.store.records.bundles.sql_bundle_trust import find_stream, put_stream
from mirror.store.records.sql_derivations import keep_derivation
from mirror.store.records.sql_sync_runs import add_event, mirrored_row
from mirror.store.records.sql_tag_owners import mirrored_tag
from mirror.store.store_services import StoreServices

_TAG: Final = select(tags_table.c.digest, tags_table.c.pushed).where(
    tags_table.c.repository_id == bindparam("repository_id"), tags_table.c.name == bindparam("tag")
)
_BROUGHT: Final = select(mirrored_tags).where(
    mirrored_tags.c.repository == bindparam("name"), mirrored_tags.c.tag == bindparam("at_tag")
)
#: Size of the column for the place of a tag event.
_MOST_CHARACTERS: Final = 320
_NEW_NOTE: Final = insert(bundle_notes).on_conflict_do_nothing()


class SqlBundleImports:
    """Implements :class:`mirror.records.bundle_imports.BundleImports`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._immutable = services.immutable

    async def finish_import(
        self, changes: ImportChanges, judge: Callable[[StreamState | None], object]
    ) -> Sequence[MirroredTag]:
        def write(connection: Connection) -> list[MirroredTag]:
            judge(find_stream(connection, changes.state.stream))
            kept = [coming.row for coming in changes.tags if not self._move(connection, coming, changes.state)]
            for digest, derivation in changes.derivations.items():
                keep_derivation(connection, digest, derivation)
            _note(connection, changes.state.stream, changes.first_seen)
            put_stream(connection, changes.state)
            told = Change(ChangeKind.BUNDLE_IMPORTED, changes.state.stream, after=str(changes.state.serial))
            note_change(connection, changes.state.imported_at, told)
            return kept

        return await self._catalog.write(write)

    def _move(self, connection: Connection, coming: ComingTag, state: StreamState) -> bool:
        row = coming.row
        try:
            require_movable(connection, row.repository, row.digest, [row.tag], self._immutable)
        except Protected:
            return False
        return _move(connection, coming, state)


def _move(connection: Connection, coming: ComingTag, state: StreamState) -> bool:
    """Move a tag, and record its owner. Return False if somebody else moved the tag since the plan was made."""
    row = coming.row
    repository_id = rows.ensure_repository(connection, row.repository)
    found = connection.execute(_TAG, {"repository_id": repository_id, "tag": row.tag.name}).one_or_none()
    before = None if found is None else Digest.parse(found.digest)
    if found is not None and (found.pushed or before not in {coming.before, row.digest}):
        return False
    if rows.first_missing(connection, manifests, repository_id, [row.digest]) is not None:
        raise ManifestUnknown(
            f"{row.repository}@{row.digest} was deleted while the bundle was imported; fix: run the import again",
            name=row.repository,
            reference=row.digest,
        )
    known = connection.execute(_BROUGHT, {"name": row.repository.name, "at_tag": row.tag.name}).one_or_none()
    brought = None if known is None else mirrored_tag(known)
    if before != row.digest:
        point_tags(connection, row.repository, row.digest, [row.tag], now=row.brought_at, pushed=False)
    rows.forget_origins(connection, row.repository, [row.tag.name], state.imported_at)
    rows.put(connection, mirrored_tags, mirrored_row(row))
    change = _change(before, brought, row)
    if change is not None:
        origin = f", from {coming.origin}" if coming.origin else ""
        source = f"{row.upstream}/{row.source}{origin}"[:_MOST_CHARACTERS]
        add_event(connection, TagEvent(row.repository, row.tag, state.imported_at, change, before, row.digest, source))
    return True


def _change(before: Digest | None, brought: MirroredTag | None, row: MirroredTag) -> TagChange | None:
    if before is None:
        return TagChange.APPEARED
    if brought is not None and (brought.upstream, brought.source) != (row.upstream, row.source):
        return TagChange.TAKEN_OVER
    return None if before == row.digest else TagChange.MOVED


def _note(connection: Connection, stream: str, first_seen: Mapping[Digest, datetime]) -> None:
    values = [
        {"digest": str(digest), "stream": stream, "first_seen_at": moment} for digest, moment in first_seen.items()
    ]
    if values:
        connection.execute(_NEW_NOTE, values)
