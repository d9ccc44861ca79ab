"""Pins in the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, literal, select, union

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ManifestUnknown
from mirror.records.changes.change import Change, ChangeKind
from mirror.records.lifecycle.pins import Pin
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog import review_rows, rows
from mirror.store.catalog.change_rows import note_change
from mirror.store.catalog.child_rows import KEPT
from mirror.store.catalog.tables.collection_tables import pins
from mirror.store.catalog.tables.content_tables import origins, repositories, tags
from mirror.store.store_services import StoreServices

_THIS: Final = (pins.c.repository == bindparam("name"), pins.c.target == bindparam("wanted"))
_ONE: Final = select(pins).where(*_THIS)
_REMOVED: Final = delete(pins).where(*_THIS).returning(*pins.c)
# An incomplete manifest has its tags in the table of origins only.
_HELD: Final = union(
    select(literal(1))
    .select_from(tags)
    .join(repositories, repositories.c.id == tags.c.repository_id)
    .where(repositories.c.name == bindparam("name"), tags.c.name == bindparam("wanted")),
    select(literal(1))
    .select_from(origins)
    .join(KEPT, (KEPT.c.repository == origins.c.repository) & (KEPT.c.digest == origins.c.digest))
    .where(origins.c.repository == bindparam("name"), origins.c.target == bindparam("wanted")),
    select(literal(1))
    .select_from(KEPT)
    .where(KEPT.c.repository == bindparam("name"), KEPT.c.digest == bindparam("wanted")),
)


class SqlPins:
    """Implements :class:`mirror.records.lifecycle.pins.Pins`. Nothing of these records is cached."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock

    async def pin(self, pin: Pin) -> Pin | None:
        wanted = {"name": pin.repository.name, "wanted": str(pin.target)}

        def work(connection: Connection) -> Pin | None:
            if connection.execute(_HELD, wanted).first() is None:
                kind = "tag" if isinstance(pin.target, Tag) else "manifest"
                message = f"{pin.repository} has no {kind} {pin.target}"
                raise ManifestUnknown(message, name=pin.repository, reference=pin.target)
            before = connection.execute(_ONE, wanted).one_or_none()
            row = {"pinned_by": pin.by, "pinned_at": pin.at, "note": pin.note}
            rows.put(connection, pins, {"repository": pin.repository.name, "target": str(pin.target), **row})
            note_change(connection, pin.at, _change(ChangeKind.TAG_PINNED, pin))
            return None if before is None else _pin(before)

        return await self._catalog.write_uncached(work)

    async def unpin(self, repository: Repository, target: Tag | Digest) -> Pin:
        wanted, now = {"name": repository.name, "wanted": str(target)}, self._clock.now()

        def work(connection: Connection) -> Pin:
            row = connection.execute(_REMOVED, wanted).one_or_none()
            if row is None:
                raise ManifestUnknown(f"{repository} has no pin of {target}", name=repository, reference=target)
            if isinstance(target, Digest):  # a pinned tag still keeps its manifest
                kind, cause = ReviewKind.MANIFEST, ReviewCause.DELETED
                review_rows.review(connection, kind, repository.name, [str(target)], cause, now=now)
            removed = _pin(row)
            note_change(connection, now, _change(ChangeKind.TAG_UNPINNED, removed))
            return removed

        return await self._catalog.write_uncached(work)

    async def pins(self, repository: Repository | None = None) -> Sequence[Pin]:
        wanted = select(pins).order_by(pins.c.repository, pins.c.target)
        if repository is not None:
            wanted = wanted.where(pins.c.repository == repository.name)
        return [_pin(row) for row in await self._catalog.read_long(lambda connection: connection.execute(wanted).all())]


def _pin(row: Row[Any]) -> Pin:
    target = Digest.parse(row.target) if ":" in row.target else Tag(row.target)
    return Pin(Repository(row.repository), target, row.pinned_by, row.pinned_at, row.note)


def _change(kind: ChangeKind, pin: Pin) -> Change:
    mark = "@" if isinstance(pin.target, Digest) else ":"
    return Change(kind, f"{pin.repository}{mark}{pin.target}", pin.repository.name, reason=pin.note)
