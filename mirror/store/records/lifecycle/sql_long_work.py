"""Long work, in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from mirror.records.lifecycle.long_work import WorkState
from mirror.store.records.lifecycle.work_rows import find_work, put_work
from mirror.store.store_services import StoreServices


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
            finished_at = now if finished else _find(connection, name).finished_at
            put_work(connection, name, state, now=now, position=position, finished_at=finished_at)

        await self._catalog.write_uncached(write)


def _find(connection: Connection, name: str) -> WorkState:
    row = find_work(connection, name)
    return WorkState() if row is None else WorkState(row.position, row.updated_at, row.finished_at, row.state)
