"""The last backup of a store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LastBackup:
    """The last complete backup.

    Attributes:
        target: path of its folder; ``-`` for a tar in a pipe, of which nobody knows whether it arrived.
        created: time of the copy of the catalog. Later changes are not in the backup.
        finished: time at which the backup was complete.
        blobs: number of blobs.
        size_bytes: their size.
        damaged: number of blobs that the store no longer had as they were stored. The backup lacks them.
    """

    target: str
    created: datetime
    finished: datetime
    blobs: int
    size_bytes: int
    damaged: int


class Backups(Protocol):
    """Port to the record of the last backup. All methods raise CatalogFault."""

    async def last_backup(self) -> LastBackup | None:
        """Return the last complete backup; None before the first one."""
        ...

    async def record_backup(self, backup: LastBackup) -> None:
        """Record a complete backup in place of the last one."""
        ...
