"""The folder of a backup: whose it is, the last complete backup in it, and its lock. All calls block."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mirror.oci import Digest
from mirror.oci.errors import Busy, ConfigurationFault
from mirror.runtime.files import private_files
from mirror.store.backup.backup_document import BackupDocument
from mirror.store.backup.backup_layout import BLOBS, DOCUMENT, LOCK, SerialFile, blob_name, parse_name
from mirror.store.backup.catalog_snapshot import CopiedCatalog
from mirror.store.backup.pending_files import sync_folder
from mirror.store.content.filesystem import Filesystem

_PARTIAL: Final = ".part"


class BackupTarget:
    """The folder of a backup. Made by :meth:`open`.

    Attributes:
        root: the folder.
        earlier: document of the last complete backup; None if there is none.
    """

    def __init__(self, root: Path, filesystem: Filesystem, earlier: BackupDocument | None) -> None:
        self.root = root
        self.earlier = earlier
        self._filesystem = filesystem
        self._folders: set[Path] = {root}

    @classmethod
    @contextmanager
    def open(cls, root: Path, data: Path, filesystem: Filesystem, *, replace: bool) -> Iterator[BackupTarget]:
        """Open the folder, create it if its parent exists, and lock it during the block.

        Args:
            root: the folder.
            data: the data folder.
            filesystem: changes files.
            replace: True to replace a backup of another data folder.

        Raises:
            ConfigurationFault: the folder cannot hold a backup of the data folder.
            Busy: another process writes a backup into the folder.
            StorageDamaged: the document of the last backup cannot be read.
            OSError: the folder cannot be used.
        """
        require_apart(root, data)
        if not root.parent.is_dir():
            raise ConfigurationFault(f"there is no folder {root.parent}; fix: create it, or mount its disk")
        private_files.make_folder(root)
        names = {entry.name for entry in os.scandir(root)}
        if names - {"lost+found"} and not names & {LOCK, DOCUMENT}:
            raise ConfigurationFault(f"{root} holds something other than a backup; fix: choose an empty folder")
        with _locked(root):
            earlier = read_document(root)
            if earlier is not None and earlier.source != str(data.resolve()) and not replace:
                raise ConfigurationFault(
                    f"{root} holds a backup of {earlier.source}, not of {data.resolve()}; "
                    "fix: choose another folder, or add --replace"
                )
            yield cls(root, filesystem, earlier)

    def file(self, name: SerialFile | Digest) -> Path:
        """Return the path of a file of the backup. Create its folder."""
        path = self.root / (blob_name(name) if isinstance(name, Digest) else str(name))
        self._make_folder(path.parent)
        return path

    def _make_folder(self, folder: Path) -> None:
        if folder not in self._folders:
            self._make_folder(folder.parent)
            self._filesystem.make_folder(folder)
            self._folders.add(folder)

    def partial(self, file: Path) -> Path:
        """Return the name under which a file is written."""
        return file.with_name(f"{file.name}{_PARTIAL}")

    def clear_unfinished(self) -> None:
        """Remove what interrupted backups left, except for their blobs. Raises OSError."""
        kept = None if self.earlier is None else str(self.earlier.serial)
        for entry in os.scandir(self.root):
            if entry.is_dir(follow_symlinks=False) and entry.name.isdecimal() and entry.name != kept:
                shutil.rmtree(entry.path)
        self._filesystem.remove(self.root / f"{DOCUMENT}{_PARTIAL}")

    def complete(self, document: BackupDocument) -> None:
        """Write the document, which makes the backup the last complete one. Everything else is durable. Raises OSError.

        The blobs of an earlier backup stay.
        """
        folder = self.root / str(document.serial)
        for each in (folder, self.root / BLOBS, self.root):
            if each.is_dir():
                sync_folder(self._filesystem, each)
        file = self.root / DOCUMENT
        self._filesystem.create_file(self.partial(file), document.encode(), is_synced=True)
        self._filesystem.rename(self.partial(file), file)
        sync_folder(self._filesystem, self.root)
        self.earlier = document

    def remove_others(self, catalog: CopiedCatalog) -> Iterator[int]:
        """Remove everything that the last complete backup does not need. Raises OSError.

        Args:
            catalog: the catalog of that backup.

        Yields:
            For each folder of blobs, the number of blobs removed.
        """
        self.clear_unfinished()
        for folder in sorted((self.root / BLOBS).glob("*/*")):
            removed = 0
            for entry in os.scandir(folder):
                name = parse_name(f"{BLOBS}/{folder.parent.name}/{folder.name}/{entry.name}")
                if not isinstance(name, Digest) or not catalog.has(name):
                    self._filesystem.remove(Path(entry.path))
                    removed += isinstance(name, Digest)
            yield removed


def read_document(root: Path) -> BackupDocument | None:
    """Return the document of the complete backup in a folder; None if there is none. Raises StorageDamaged, OSError."""
    file = root / DOCUMENT
    with suppress(FileNotFoundError):
        return BackupDocument.parse(file.read_bytes(), str(file))
    return None


def require_apart(root: Path, data: Path) -> None:
    """Raise ConfigurationFault if the folder of a backup and a data folder overlap."""
    target, source = root.resolve(), data.resolve()
    if target == source or target in source.parents or source in target.parents:
        raise ConfigurationFault(f"{root} and the data folder {data} overlap; fix: choose a folder elsewhere")


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    descriptor = private_files.open_file(root / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another process writes a backup into {root}; fix: wait for it") from error
        yield
    finally:
        os.close(descriptor)
