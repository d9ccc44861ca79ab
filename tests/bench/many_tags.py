"""Add very many tags to a catalog with SQL, since the registry port needs two statements for each."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, insert, select

from mirror.store.catalog.database import Catalog
from mirror.store.catalog.databases.sqlite_database import SqliteDatabase
from mirror.store.catalog.generation import Generation
from mirror.store.catalog.tables.content_tables import tags
from mirror.store.content.data_layout import DataLayout

#: Format of the tag names. The wrk script any_tag.lua uses the same format.
TAG_FORMAT = "1.0.0-{:06d}"


def add(data: Path, tag_count: int) -> None:
    """Add `tag_count` tags that point to the manifest of the only tag in the store at `data`, which may be in use."""
    asyncio.run(_add(DataLayout(data), tag_count))


async def _add(layout: DataLayout, tag_count: int) -> None:
    def insert_all(connection: Connection) -> None:
        there = connection.execute(select(tags)).one()
        same = {"repository_id": there.repository_id, "digest": there.digest, "updated_at": datetime.now(UTC)}
        rows = [{**same, "name": TAG_FORMAT.format(number)} for number in range(tag_count)]
        connection.execute(insert(tags), rows)

    async with (
        Generation.open(layout.generation) as generation,
        Catalog.open(SqliteDatabase(layout), generation) as catalog,
    ):
        await catalog.write(insert_all)
