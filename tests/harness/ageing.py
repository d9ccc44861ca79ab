"""Backdate the origins of pulled-through content, so that tests need not wait until a tag is due."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, update

from mirror.store.catalog.database import Catalog
from mirror.store.catalog.generation import Generation
from mirror.store.catalog.tables.content_tables import origins
from mirror.store.content.data_layout import DataLayout

_LONG_AGO = timedelta(hours=1)


def make_due(data: Path) -> None:
    """Make every pulled-through tag in the store at `data` due for confirmation. The store may be in use meanwhile."""
    asyncio.run(_make_due(DataLayout(data)))


async def _make_due(layout: DataLayout) -> None:
    then = datetime.now(UTC) - _LONG_AGO

    def age(connection: Connection) -> None:
        connection.execute(update(origins).values(checked_at=then, asked_at=then))

    async with Generation.open(layout.generation) as generation, Catalog.open(layout, generation) as catalog:
        await catalog.write(age)
