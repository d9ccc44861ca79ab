"""Progress of scrubs, in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import select

from mirror.records.lifecycle.damage import ScrubState
from mirror.store.catalog.tables.collection_tables import long_work
from mirror.store.records.lifecycle.work_rows import put_work
from mirror.store.store_services import StoreServices

_PREFIX: Final = "scrub "
_ALL = select(long_work).where(long_work.c.name.startswith(_PREFIX))
_NUMBERS: Final = ("files", "read_bytes", "damaged", "corrected", "total_bytes", "total_damaged")


class SqlScrubStates:
    """Implements :class:`mirror.records.lifecycle.damage.ScrubStates`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock

    async def scrubs(self) -> Mapping[str, ScrubState]:
        found = await self._catalog.read(lambda connection: connection.execute(_ALL).all())
        return {row.name.removeprefix(_PREFIX): _state(row) for row in found}

    async def keep_scrub(self, name: str, state: ScrubState) -> None:
        last = state.last_finished_at
        await self._catalog.write_uncached(
            partial(
                put_work,
                name=f"{_PREFIX}{name}",
                state={number: getattr(state, number) for number in _NUMBERS}
                | {"last_finished_at": None if last is None else last.isoformat()},
                now=self._clock.now(),
                position=state.position,
                started_at=state.started_at,
                finished_at=state.finished_at,
            )
        )


def _state(row: Any) -> ScrubState:
    last = row.state["last_finished_at"]
    return ScrubState(
        row.started_at,
        row.finished_at,
        row.position,
        last_finished_at=None if last is None else datetime.fromisoformat(last),
        **{number: row.state[number] for number in _NUMBERS},
    )
