"""Command ``backup``: a complete, verified copy of the store, beside a running server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import BinaryIO

from mirror import __version__
from mirror.app.bucket.data_folder_only import require_data_folder_only
from mirror.app.database.catalog_opening import catalog_copier
from mirror.app.services import open_store, require_data_folder
from mirror.lifecycle.content_holding import holding
from mirror.oci.errors import ConfigurationFault
from mirror.records.lifecycle.backups import LastBackup
from mirror.records.lifecycle.content_holders import HolderPurpose
from mirror.runtime.clock import SystemClock
from mirror.runtime.concurrency.threads import stepped
from mirror.settings import Settings
from mirror.store.backup.backup_request import BackupReport, BackupRequest
from mirror.store.backup.folder_backup import FolderBackup
from mirror.store.backup.tar_backup import TarBackup
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.folder_access import can_write, require_reading
from mirror.store.private_state import opened_private_state
from mirror.store.registry import Store
from mirror.store.storage_errors import storage_faults
from mirror.transfer.progress_reporting import Progress

_CLOCK = SystemClock()


async def back_up(
    settings: Settings,
    target: Path | BinaryIO,
    progress: Progress,
    *,
    hard_link: bool = False,
    verify: bool = False,
    replace: bool = False,
) -> BackupReport:
    """Back up the store.

    Args:
        settings: settings of the command.
        target: absolute path of the folder of the backup, or the stream that receives a tar.
        progress: receiver of the bytes.
        hard_link: True to link files instead of copying them.
        verify: True to read again what an earlier backup into the folder has copied.
        replace: True to replace a backup of another data folder.

    Raises:
        ConfigurationFault: there is no store, or the folder cannot hold its backup.
        Busy: another process writes a backup into the folder.
        CatalogFault: the catalog is damaged.
        StorageFull, StorageFault: the backup cannot be written. An earlier backup is as it was.
    """
    require_data_folder_only(
        settings,
        "a backup copies content from the data folder",
        "copy the catalog with sqlite3's .backup, and let the server of the bucket keep the objects (docs/STORAGE.md)",
    )
    root = settings.storage.path
    request = BackupRequest(__version__, hard_link=hard_link, verify=verify, replace=replace)
    name = os.fspath(target) if isinstance(target, Path) else "-"
    async with _held(settings, root, name) as (layout, store):
        backup: FolderBackup | TarBackup
        # The copy of a private state is a file.
        copy_catalog = None if store is None else catalog_copier(settings)
        if isinstance(target, Path):
            backup = FolderBackup(layout, target, request, progress, now=_CLOCK.now, copy_catalog=copy_catalog)
        else:
            backup = TarBackup(layout, target, request, progress, now=_CLOCK.now, copy_catalog=copy_catalog)
        with storage_faults("write the backup"), closing(backup.run()) as steps:
            async for _ in stepped(steps):
                pass
        document = backup.report.document
        if store is not None and document is not None:
            damaged = len(document.damaged)
            last = LastBackup(name, document.created, _CLOCK.now(), document.blobs, document.size_bytes, damaged)
            await store.records.backups.record_backup(last)
    return backup.report


@asynccontextmanager
async def _held(settings: Settings, root: Path, target: str) -> AsyncIterator[tuple[DataLayout, Store | None]]:
    """Yield a data folder of which nothing is removed meanwhile, and its store; None for one that cannot be written."""
    require_data_folder(root)
    require_reading(DataLayout(root))
    if settings.storage.catalog is None and not DataLayout(root).catalog.exists():
        # The disk of the data folder may not be mounted. To open the store would create an empty one.
        raise ConfigurationFault(f"{root} holds no store; fix: set --data, or mount the disk of the data folder")
    if can_write(root):
        async with (
            open_store(settings, must_exist=True) as store,
            holding(store.records.holders, HolderPurpose.BACKUP, target, [(None, None)]),
        ):
            yield DataLayout(root), store
    else:
        async with opened_private_state(root, catalog_copier(settings)) as state:
            yield DataLayout(root, state), None
