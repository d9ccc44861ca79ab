"""A backup into a folder. Everything that an earlier backup has copied is kept. All calls block."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from mirror.oci import Digest
from mirror.oci.byte_sizes import shown_size
from mirror.oci.errors import ConfigurationFault, StorageDamaged, StorageFull
from mirror.store.backup.backup_document import BackupDocument
from mirror.store.backup.backup_layout import CATALOG, KEY_FILE, SUMS, SerialFile
from mirror.store.backup.backup_request import BackupReport, BackupRequest, ByteProgress, CopyMethod
from mirror.store.backup.backup_target import BackupTarget
from mirror.store.backup.catalog_snapshot import CopiedCatalog, copy_live_catalog
from mirror.store.backup.pending_files import PendingFiles
from mirror.store.backup.sums_writer import SumsWriter
from mirror.store.backup.verified_reading import opened, verified_pieces
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem

_FICLONE: Final = 0x40049409
#: Bytes after which the disk begins to write.
_FLUSHED_BYTES: Final = 32 * 1024 * 1024
#: Blobs that are looked at between two steps.
_LOOKED_AT: Final = 500


class FolderBackup:
    """Backs up a data folder into a folder.

    Args:
        data: the data folder. Nothing may remove its files meanwhile.
        root: the folder of the backup.
        request: what is asked for.
        progress: receives the progress.
        now: returns the time of day.
        copy_catalog: writes the catalog to a new file and returns its revision; None for that of the data folder.
        filesystem: changes the files of the backup.

    Attributes:
        report: what was done so far.
    """

    def __init__(
        self,
        data: DataLayout,
        root: Path,
        request: BackupRequest,
        progress: ByteProgress,
        *,
        now: Callable[[], datetime],
        copy_catalog: Callable[[Path], str] | None = None,
        filesystem: Filesystem | None = None,
    ) -> None:
        self.report = BackupReport()
        self._data = data
        self._root = root
        self._request = request
        self._progress = progress
        self._now = now
        self._copy_catalog = copy_catalog or partial(copy_live_catalog, data.catalog)
        self._filesystem = filesystem or Filesystem()
        self._can_clone = True

    def run(self) -> Generator[None, None, None]:
        """Make the backup, in short steps.

        Raises:
            ConfigurationFault: the folder cannot hold this backup.
            Busy: another process writes a backup into the folder.
            CatalogFault: the catalog is damaged.
            StorageDamaged: the document of the earlier backup cannot be read.
            StorageFull, OSError: the folder cannot be written. The earlier backup is as it was.
        """
        opening = BackupTarget.open(self._root, self._data.root, self._filesystem, replace=self._request.replace)
        with opening as target:
            self.report.on_same_disk = self._root.stat().st_dev == (self._data.root / "blobs").stat().st_dev
            target.clear_unfinished()
            serial = 1 if target.earlier is None else target.earlier.serial + 1
            copy = target.file(SerialFile(serial, CATALOG))
            created = self._now()
            revision = self._copy_catalog(copy)
            with CopiedCatalog.open(copy) as catalog:
                yield from self._plan(target, catalog)
                with SumsWriter(target.file(SerialFile(serial, SUMS)), self._filesystem) as sums:
                    sums.add_file(str(SerialFile(serial, CATALOG)), copy)
                    if self._copy_token_key(target, serial):
                        name = SerialFile(serial, KEY_FILE)
                        sums.add_file(str(name), target.file(name))
                    yield from self._copy_blobs(target, catalog, sums)
                    document = BackupDocument(
                        serial,
                        created,
                        str(self._data.root.resolve()),
                        self._request.program,
                        revision,
                        sums.blobs,
                        sums.size_bytes,
                        sums.finish(),
                        self.report.problems,
                    )
                target.complete(document)
                self.report.document = document
                for removed in target.remove_others(catalog):
                    self.report.removed += removed
                    yield

    def _plan(self, target: BackupTarget, catalog: CopiedCatalog) -> Iterator[None]:
        """Find out how much is to be copied, and whether there is room."""
        copied_bytes = read_bytes = known = 0
        for number, (digest, size_bytes) in enumerate(catalog.blobs()):
            file = target.file(digest)
            known += file.exists()
            if self._is_kept(file, digest, size_bytes):
                read_bytes += size_bytes if self._request.verify else 0
            else:
                copied_bytes += size_bytes
            if number % _LOOKED_AT == 0:
                yield
        if target.earlier is not None and target.earlier.blobs and not known and not self._request.replace:
            raise ConfigurationFault(
                f"{self._data.root} has none of the content in the earlier backup in {self._root}; "
                "fix: make sure that the disk of the data folder is mounted, or add --replace"
            )
        free_bytes = shutil.disk_usage(self._root).free
        # A clone or a link on the same disk needs no room.
        if copied_bytes > free_bytes and not self.report.on_same_disk:
            raise StorageFull(
                f"the backup needs {shown_size(copied_bytes)}, and {self._root} has {shown_size(free_bytes)} free; "
                "fix: free some space there"
            )
        self._progress.expect(copied_bytes + read_bytes)

    def _is_kept(self, file: Path, digest: Digest, size_bytes: int) -> bool:
        """Return True if an earlier backup has copied a blob. Only verified files have such names."""
        try:
            found = os.lstat(file)
        except FileNotFoundError:
            return False
        if found.st_size != size_bytes:
            return False
        if self._request.hard_link or found.st_nlink == 1:
            return True
        with suppress(FileNotFoundError):  # a link into the data folder is no copy
            return not os.path.samestat(found, os.lstat(self._data.blob(digest)))
        return True

    def _copy_token_key(self, target: BackupTarget, serial: int) -> bool:
        try:
            content = self._data.token_key.read_bytes()
        except FileNotFoundError:
            return False
        self._filesystem.create_file(target.file(SerialFile(serial, KEY_FILE)), content, is_synced=True)
        return True

    def _copy_blobs(self, target: BackupTarget, catalog: CopiedCatalog, sums: SumsWriter) -> Iterator[None]:
        with PendingFiles(self._filesystem) as pending:
            for number, (digest, size_bytes) in enumerate(catalog.blobs()):
                file = target.file(digest)
                is_kept = self._is_kept(file, digest, size_bytes)
                if is_kept and self._request.verify and not (yield from self._is_whole(file, digest)):
                    is_kept = False
                    self._progress.expect(size_bytes)
                    self.report.repaired += 1
                if is_kept:
                    self.report.kept += 1
                elif not (yield from self._copied(target, pending, digest, size_bytes)):
                    continue
                sums.add_blob(digest, size_bytes)
                if number % _LOOKED_AT == 0:
                    yield
            pending.finish()

    def _is_whole(self, file: Path, digest: Digest) -> Generator[None, None, bool]:
        """Read a file of an earlier backup. Return True if it is whole."""
        try:
            with opened(file, digest) as descriptor:
                for piece in verified_pieces(descriptor, digest):
                    self._progress.advance(len(piece))
                    yield
        except StorageDamaged:
            return False
        return True

    def _copied(
        self, target: BackupTarget, pending: PendingFiles, digest: Digest, size_bytes: int
    ) -> Generator[None, None, bool]:
        """Copy a blob. Return False if the data folder does not have it as it was stored."""
        file = target.file(digest)
        partial = target.partial(file)
        self._filesystem.remove(partial)
        try:
            with opened(self._data.blob(digest), digest, size_bytes) as source:
                method, copy = self._begin(source, self._data.blob(digest), partial)
                try:
                    yield from self._fill(copy, source if method is CopyMethod.COPY else None, digest)
                    pending.add(copy, partial, file, size_bytes)
                except BaseException:
                    os.close(copy)
                    self._filesystem.remove(partial)
                    raise
        except StorageDamaged as error:
            self._filesystem.remove(file)  # of another size, or found damaged
            self.report.damaged[str(digest)] = str(error)
            return False
        self.report.written[method] = self.report.written.get(method, 0) + 1
        self.report.written_bytes += size_bytes
        return True

    def _begin(self, source: int, file: Path, partial: Path) -> tuple[CopyMethod, int]:
        """Create the file of a copy, and return how, with a descriptor."""
        if self._request.hard_link:
            try:
                os.link(file, partial)
            except OSError as error:
                raise ConfigurationFault(
                    f"{file} cannot be linked into {self._root}: {error.strerror}; fix: leave out --hard-link, "
                    "or choose a folder on the file system of the data folder"
                ) from error
            return CopyMethod.HARD_LINK, os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
        copy = self._filesystem.create(partial)
        if self._can_clone:
            try:
                fcntl.ioctl(copy, _FICLONE, source)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
                    os.close(copy)
                    raise
                self._can_clone = False  # not on this file system, or not from that one to this one
            else:
                return CopyMethod.REFLINK, copy
        return CopyMethod.COPY, copy

    def _fill(self, copy: int, source: int | None, digest: Digest) -> Iterator[None]:
        """Verify the bytes of a source, and write them to a copy; or verify those of the copy itself."""
        offset = flushed = 0
        for piece in verified_pieces(copy if source is None else source, digest):
            if source is not None:
                self._filesystem.write(copy, piece, offset)
                offset += len(piece)
                if offset - flushed >= _FLUSHED_BYTES:
                    self._filesystem.begin_sync(copy, flushed, offset - flushed)
                    flushed = offset
            self._progress.advance(len(piece))
            yield
