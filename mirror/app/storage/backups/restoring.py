"""Command ``restore``: a backup becomes a data folder again."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import BinaryIO

from mirror.app.bucket.data_folder_only import require_data_folder_only
from mirror.app.services import open_store
from mirror.app.storage.migrating import migrate, require_new_catalog
from mirror.oci.errors import ConfigurationFault
from mirror.records.changes.change import Change, ChangeKind
from mirror.runtime.concurrency.threads import in_thread, stepped
from mirror.settings import Settings
from mirror.store.backup.backup_source import BackupSource, FolderSource, TarSource
from mirror.store.backup.restoration import Restoration
from mirror.store.backup.restore_report import RestoreReport
from mirror.store.content.data_layout import DataLayout
from mirror.store.storage_errors import storage_faults
from mirror.transfer.progress_reporting import Progress


async def restore(settings: Settings, source: Path | BinaryIO, progress: Progress) -> RestoreReport:
    """Restore a backup into the absent or empty data folder, or go on with an interrupted restore.

    Args:
        settings: ``storage.path`` is the data folder.
        source: folder of a backup, file with a tar, or stream of a tar.
        progress: receiver of the bytes.

    Raises:
        ConfigurationFault: the data folder is not empty, or the source is no backup.
        Busy: another process uses the data folder.
        StorageDamaged: the backup is damaged or not complete. The data folder stays marked as unfinished.
        StorageFull, StorageFault: the data folder cannot be written, or the backup cannot be read.
    """
    require_data_folder_only(
        settings, "a backup is restored into the data folder", "remove storage.blobs, and restore into an empty folder"
    )
    layout = DataLayout(settings.storage.path)
    if settings.storage.catalog is not None:
        await require_new_catalog(settings)
    with ExitStack() as stack, storage_faults("restore the backup"):
        restoration = Restoration(await in_thread(_opened, source, stack), layout, progress)
        steps = stack.enter_context(closing(restoration.run()))
        async for _ in stepped(steps):
            pass
    if settings.storage.catalog is not None:
        restored = settings.model_copy(update={"storage": settings.storage.model_copy(update={"catalog": None})})
        await migrate(restored, settings)
    # Opened once, so that a catalog of an earlier version is updated now and not at the next start of the server.
    async with open_store(settings, must_exist=True) as store:
        await store.records.changes.begin_anew()
        told = str(source) if isinstance(source, Path) else "standard input"
        await store.records.changes.note(Change(ChangeKind.CATALOG_RESTORED, "catalog", reason=f"from {told}"))
        return restoration.report


def _opened(source: Path | BinaryIO, stack: ExitStack) -> BackupSource:
    if not isinstance(source, Path):
        return TarSource(source, "the tar")
    if source.is_dir():
        return FolderSource(source)
    if not source.exists():
        raise ConfigurationFault(
            f"there is no backup {source}; fix: name the folder of a backup, a tar, or - for a tar from stdin"
        )
    return TarSource(stack.enter_context(source.open("rb")), str(source))
