"""Rows of long work, for the records that keep their state in one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select

from mirror.store.catalog import rows
from mirror.store.catalog.tables.collection_tables import long_work

_ONE: Final = select(long_work).where(long_work.c.name == bindparam("work"))


def find_work(connection: Connection, name: str) -> Row[Any] | None:
    """Return the row of some work; None if the work has never begun."""
    return connection.execute(_ONE, {"work": name}).one_or_none()


def put_work(
    connection: Connection,
    name: str,
    state: Mapping[str, Any],
    *,
    now: datetime,
    position: str = "",
    started_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> None:
    """Insert or replace the row of some work.

    Args:
        connection: the connection of the transaction.
        name: name of the work.
        state: values of the work, as JSON.
        now: the present time.
        position: place at which the work goes on.
        started_at: start of the work. None: the recorded start stays, or else the work starts now.
        finished_at: end of the work; None if there is none.
    """
    row = {
        "name": name,
        "started_at": started_at or now,
        "updated_at": now,
        "finished_at": finished_at,
        "position": position,
        "state": dict(state),
    }
    rows.put(connection, long_work, row, keep=() if started_at else ("started_at",))
