"""The last backup, in the catalog."""

from __future__ import annotations

from functools import partial
from typing import Final

from mirror.records.lifecycle.backups import LastBackup
from mirror.store.records.lifecycle.work_rows import find_work, put_work
from mirror.store.store_services import StoreServices

_NAME: Final = "backup"


class SqlBackups:
    """Implements :class:`mirror.records.lifecycle.backups.Backups`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def last_backup(self) -> LastBackup | None:
        row = await self._catalog.read(partial(find_work, name=_NAME))
        return None if row is None else LastBackup(row.position, row.started_at, row.finished_at, **row.state)

    async def record_backup(self, backup: LastBackup) -> None:
        await self._catalog.write_uncached(
            partial(
                put_work,
                name=_NAME,
                state={"blobs": backup.blobs, "size_bytes": backup.size_bytes, "damaged": backup.damaged},
                now=backup.finished,
                position=backup.target[-255:],
                started_at=backup.created,
                finished_at=backup.finished,
            )
        )
