"""Very many repositories in a catalog of ours, by SQL, as `many_tags` makes tags."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, insert

from mirror.store.catalog.engine import Catalog
from mirror.store.catalog.tables import blobs, repositories, repository_blobs
from mirror.store.generation import Generation
from mirror.store.layout import Layout
from tests.harness.packing import digest_of

_EMPTY = b"{}"


def name(number: int) -> str:
    """The repository of that number; in the order of the numbers."""
    return f"many/repository-{number:06}"


def add(data: Path, count: int) -> None:
    """Have so many repositories hold one blob in the store at `data`, also while it is served."""
    asyncio.run(_add(Layout(data), count))


async def _add(layout: Layout, count: int) -> None:
    now, digest = datetime.now(UTC), digest_of(_EMPTY)

    def insert_all(connection: Connection) -> None:
        connection.execute(insert(blobs), [{"digest": digest, "size_bytes": len(_EMPTY), "stored_at": now}])
        rows = [{"id": number + 1, "name": name(number)} for number in range(count)]
        connection.execute(insert(repositories), rows)
        held = [{"repository_id": row["id"], "digest": digest, "added_at": now} for row in rows]
        connection.execute(insert(repository_blobs), held)

    async with Generation.open(layout.generation) as generation, Catalog.open(layout.catalog, generation) as catalog:
        await catalog.write(insert_all)
