"""Long work, in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from mirror.records.lifecycle.long_work import WorkState
from mirror.store.catalog import rows
from mirror.store.catalog.tables.collection_tables import long_work
from mirror.store.store_services import StoreServices

_FOUND: Final = select(long_work).where(long_work.c.name == bindparam("work"))


class SqlLongWork:
    """Implements :class:`mirror.records.lifecycle.long_work.LongWork`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock

    async def find(self, name: str) -> WorkState:
        return await self._catalog.read(lambda connection: _find(connection, name))

    async def note(self, name: str, position: str, state: Mapping[str, Any], *, finished: bool) -> None:
        now = self._clock.now()

        def write(connection: Connection) -> None:
            row = {
                "name": name,
                "started_at": now,
                "updated_at": now,
                "finished_at": now if finished else _find(connection, name).finished_at,
                "position": position,
                "state": dict(state),
            }
            rows.put(connection, long_work, row, keep=("started_at",))

        await self._catalog.write_uncached(write)


def _find(connection: Connection, name: str) -> WorkState:
    row = connection.execute(_FOUND, {"work": name}).one_or_none()
    return WorkState() if row is None else WorkState(row.position, row.updated_at, row.finished_at, row.state)
