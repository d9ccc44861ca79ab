"""Readings of the layers of plugins, in the catalog."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, delete, select

from mirror.oci import Digest
from mirror.store.catalog import rows
from mirror.store.catalog.tables.content_tables import readings as table
from mirror.store.store_services import StoreServices

#: Size of all documents together. The documents that were read longest ago are dropped first.
MOST_BYTES: Final = 128 * 1024 * 1024

_KEPT = select(table.c.document).where(
    table.c.digest == bindparam("digest"), table.c.version == bindparam("version_of_reader")
)
_SIZES = select(table.c.digest, table.c.size_bytes).order_by(table.c.read_at.desc(), table.c.digest)
_DROP = delete(table).where(table.c.digest == bindparam("oldest"))


class SqlReadings:
    """Implements :class:`mirror.records.readings.Readings`. A row is removed with the bytes of its manifest.

    Nothing of readings is cached, so a write keeps all caches valid.
    """

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock

    async def reading(self, digest: Digest, version: str) -> bytes | None:
        wanted = {"digest": str(digest), "version_of_reader": version}
        return await self._catalog.read(lambda connection: connection.execute(_KEPT, wanted).scalar_one_or_none())

    async def record_reading(self, digest: Digest, version: str, document: bytes) -> None:
        row = {
            "digest": str(digest),
            "version": version,
            "size_bytes": len(document),
            "read_at": self._clock.now(),
            "document": document,
        }

        def write(connection: Connection) -> None:
            rows.put_about(connection, digest, table, row)
            _drop_oldest(connection)

        await self._catalog.write_uncached(write)


def _drop_oldest(connection: Connection) -> None:
    """Remove the oldest documents beyond the limit."""
    total_bytes, dropped = 0, []
    for digest, size_bytes in connection.execute(_SIZES):
        total_bytes += size_bytes
        if total_bytes > MOST_BYTES:
            dropped.append({"oldest": digest})
    if dropped:
        connection.execute(_DROP, dropped)
