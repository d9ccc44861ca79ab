"""Backdate the origins of pulled-through content, so that tests need not wait until a tag is due."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, update

from mirror.store.catalog.database import Catalog
from mirror.store.catalog.databases.sqlite_database import SqliteDatabase
from mirror.store.catalog.generation import Generation
from mirror.store.catalog.tables.content_tables import incomplete_manifests, manifests, origins
from mirror.store.catalog.tables.sync_tables import pulls
from mirror.store.content.data_layout import DataLayout

_LONG_AGO = timedelta(hours=1)


def make_due(data: Path) -> None:
    """Make every pulled-through tag in the store at `data` due for confirmation. The store may be in use meanwhile."""
    asyncio.run(_make_due(DataLayout(data)))


def make_unused(data: Path, days: float) -> None:
    """Let everything that was pulled through into the store at `data` have come, and have been pulled, days ago."""
    then = datetime.now(UTC) - timedelta(days=days)

    def age(connection: Connection) -> None:
        connection.execute(update(origins).values(checked_at=then, asked_at=then))
        connection.execute(update(manifests).values(created_at=then))
        connection.execute(update(incomplete_manifests).values(kept_at=then))
        connection.execute(update(pulls).values(pulled_at=then))

    asyncio.run(_change(DataLayout(data), age))


async def _make_due(layout: DataLayout) -> None:
    then = datetime.now(UTC) - _LONG_AGO

    def age(connection: Connection) -> None:
        connection.execute(update(origins).values(checked_at=then, asked_at=then))

    await _change(layout, age)


async def _change(layout: DataLayout, age: Callable[[Connection], None]) -> None:
    async with (
        Generation.open(layout.generation) as generation,
        Catalog.open(SqliteDatabase(layout), generation) as catalog,
    ):
        await catalog.write(age)
