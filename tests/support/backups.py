"""Backups and restores for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from mirror.oci import Digest
from mirror.store.backup.backup_request import BackupReport, BackupRequest
from mirror.store.backup.backup_source import FolderSource, TarSource
from mirror.store.backup.folder_backup import FolderBackup
from mirror.store.backup.restoration import Restoration
from mirror.store.backup.restore_report import RestoreReport
from mirror.store.backup.tar_backup import TarBackup
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from tests.support.clocks import HandClock


class ByteCount:
    """Bytes expected and done."""

    def __init__(self) -> None:
        self.expected = self.done = 0

    def expect(self, total_bytes: int) -> None:
        self.expected += total_bytes

    def advance(self, size_bytes: int) -> None:
        self.done += size_bytes


def back_up(
    data: Path,
    target: Path | BinaryIO,
    filesystem: Filesystem | None = None,
    count: ByteCount | None = None,
    **asked: Any,
) -> BackupReport:
    """Back up a data folder into a folder or a stream."""
    request, progress, now = BackupRequest("1.0", **asked), count or ByteCount(), HandClock().now
    if isinstance(target, Path):
        backup = FolderBackup(DataLayout(data), target, request, progress, now=now, filesystem=filesystem)
    else:
        backup = TarBackup(DataLayout(data), target, request, progress, now=now)
    for _ in backup.run():
        pass
    return backup.report


def restore(source: Path | BinaryIO, data: Path, filesystem: Filesystem | None = None) -> RestoreReport:
    """Restore a backup in a folder or a tar into a data folder."""
    read = FolderSource(source) if isinstance(source, Path) else TarSource(source, "the tar")
    restoration = Restoration(read, DataLayout(data), ByteCount(), filesystem)
    for _ in restoration.run():
        pass
    return restoration.report


def blob_files(root: Path) -> dict[str, bytes]:
    """Return the bytes of all blobs in a data folder or a backup, by path below ``blobs``."""
    blobs = root / "blobs"
    return {str(file.relative_to(blobs)): file.read_bytes() for file in blobs.rglob("*") if file.is_file()}


def path_of(root: Path, digest: Digest) -> Path:
    """Return the path of a blob in a data folder or a backup."""
    return root / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex
