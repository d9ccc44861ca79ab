"""The last backup, in the catalog."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select

from mirror.records.lifecycle.backups import LastBackup
from mirror.store.catalog import rows
from mirror.store.catalog.tables.collection_tables import long_work
from mirror.store.store_services import StoreServices

_NAME: Final = "backup"
_LAST: Final = select(long_work).where(long_work.c.name == _NAME, long_work.c.finished_at.is_not(None))


class SqlBackups:
    """Implements :class:`mirror.records.lifecycle.backups.Backups`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def last_backup(self) -> LastBackup | None:
        row = await self._catalog.read(lambda connection: connection.execute(_LAST).one_or_none())
        if row is None:
            return None
        state = row.state
        return LastBackup(
            row.position, row.started_at, row.finished_at, state["blobs"], state["size_bytes"], state["damaged"]
        )

    async def record_backup(self, backup: LastBackup) -> None:
        row = {
            "name": _NAME,
            "started_at": backup.created,
            "updated_at": backup.finished,
            "finished_at": backup.finished,
            "position": backup.target[-255:],
            "state": {"blobs": backup.blobs, "size_bytes": backup.size_bytes, "damaged": backup.damaged},
        }
        await self._catalog.write_uncached(lambda connection: rows.put(connection, long_work, row))
