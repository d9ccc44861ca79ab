"""Very many tags in a catalog of ours, by SQL: through the registry's port each one would be two statements."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, insert, select

from mirror.store.catalog.content_tables import tags
from mirror.store.catalog.database import Catalog
from mirror.store.catalog.generation import Generation
from mirror.store.content.data_layout import DataLayout

#: The names that `add` gives, as a format of a number; wrk's script makes the same ones.
TAG_FORMAT = "1.0.0-{:06d}"


def add(data: Path, tag_count: int) -> None:
    """Have `tag_count` more tags point to where the one tag in the store at `data` does, also while it is served."""
    asyncio.run(_add(DataLayout(data), tag_count))


async def _add(layout: DataLayout, tag_count: int) -> None:
    def insert_all(connection: Connection) -> None:
        there = connection.execute(select(tags)).one()
        same = {"repository_id": there.repository_id, "digest": there.digest, "updated_at": datetime.now(UTC)}
        rows = [{**same, "name": TAG_FORMAT.format(number)} for number in range(tag_count)]
        connection.execute(insert(tags), rows)

    async with Generation.open(layout.generation) as generation, Catalog.open(layout, generation) as catalog:
        await catalog.write(insert_all)
