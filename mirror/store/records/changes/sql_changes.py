"""Changes and the places of their readers, in the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select, update

from mirror.records.changes.change import Change, ReaderPosition, RecordedChange
from mirror.store.catalog import rows
from mirror.store.catalog.change_rows import note_change, read_change
from mirror.store.catalog.tables.change_tables import change_readers, changes
from mirror.store.store_services import StoreServices

_AFTER: Final = select(changes).where(changes.c.id > bindparam("after")).order_by(changes.c.id).limit(bindparam("most"))
_PLACE: Final = select(change_readers.c.change_id, change_readers.c.mark).where(
    change_readers.c.reader == bindparam("wanted")
)
_TAKEN_BY: Final = (
    select(change_readers.c.change_id).where(change_readers.c.reader == bindparam("wanted")).scalar_subquery()
)
_OLDEST: Final = select(changes.c.at).where(changes.c.id > func.coalesce(_TAKEN_BY, 0)).order_by(changes.c.id).limit(1)
_FORMER_READERS: Final = delete(change_readers).where(
    change_readers.c.reader.not_in(bindparam("present", expanding=True))
)
_UNMARKED: Final = update(change_readers).values(mark="")
_LAST_OF_ALL: Final = select(func.count(), func.min(change_readers.c.change_id))
_TAKEN: Final = delete(changes).where(changes.c.id <= bindparam("taken"))


class SqlChanges:
    """Implements :class:`mirror.records.changes.change.ChangeLog`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock

    async def read(self, after: int, most: int) -> Sequence[RecordedChange]:
        wanted = {"after": after, "most": most}
        found = await self._catalog.read(lambda connection: connection.execute(_AFTER, wanted).all())
        return [read_change(row) for row in found]

    async def position(self, reader: str) -> ReaderPosition:
        row = await self._catalog.read(lambda connection: connection.execute(_PLACE, {"wanted": reader}).one_or_none())
        return ReaderPosition() if row is None else ReaderPosition(row.change_id, row.mark)

    async def advance(self, reader: str, position: ReaderPosition, readers: Sequence[str]) -> None:
        await self._catalog.write_uncached(lambda connection: move_reader(connection, reader, position, readers))

    async def begin_anew(self) -> None:
        await self._catalog.write_uncached(lambda connection: connection.execute(_UNMARKED))

    async def oldest(self, reader: str) -> datetime | None:
        return await self._catalog.read(
            lambda connection: connection.execute(_OLDEST, {"wanted": reader}).scalar_one_or_none()
        )

    async def note(self, change: Change) -> None:
        now = self._clock.now()
        await self._catalog.write_uncached(lambda connection: note_change(connection, now, change))


def move_reader(connection: Connection, reader: str, position: ReaderPosition, readers: Sequence[str]) -> None:
    """Record the place of a reader, and remove the changes that all readers have taken.

    Only inside :meth:`Catalog.write`.
    """
    rows.put(connection, change_readers, {"reader": reader, "change_id": position.change_id, "mark": position.mark})
    connection.execute(_FORMER_READERS, {"present": list(readers)})
    known, taken = connection.execute(_LAST_OF_ALL).one()
    if known == len(readers):  # a reader without a place has taken nothing yet
        connection.execute(_TAKEN, {"taken": taken})
