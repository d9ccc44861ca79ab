"""Restores a backup into a data folder. All calls block."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import Error as SqliteError
from typing import Final

from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.oci.errors import CatalogFault, ConfigurationFault, StorageDamaged
from mirror.store.backup.backup_document import BackupDocument
from mirror.store.backup.backup_layout import (
    CATALOG,
    DOCUMENT,
    KEY_FILE,
    SUMS,
    SerialFile,
    parse_name,
    parse_sums_line,
)
from mirror.store.backup.backup_request import ByteProgress
from mirror.store.backup.backup_source import BackupMember, BackupSource
from mirror.store.backup.catalog_snapshot import open_catalog, require_whole
from mirror.store.backup.pending_files import PendingFiles, sync_folder
from mirror.store.backup.restore_report import RestoreReport
from mirror.store.backup.verified_reading import opened, verified_pieces
from mirror.store.catalog.migrate import knows_revision
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.content.folder_use import sole_use
from mirror.store.storage_errors import database_words

#: Names in a folder that counts as empty.
_TOLERATED: Final = frozenset({"lost+found", "locks", "tls", "audit", "audit.key"})
_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
_LINE_BYTES: Final = 1024
_LOOKED_AT: Final = 500


class Restoration:
    """Restores a backup into an absent or empty data folder, or goes on with an interrupted restore.

    Every byte is copied and verified. The folder has a marker until everything is in place, and no store opens it.

    Args:
        source: the backup.
        data: the data folder.
        progress: receives the progress.
        filesystem: changes the files of the data folder.

    Attributes:
        report: what was done so far.
    """

    def __init__(
        self, source: BackupSource, data: DataLayout, progress: ByteProgress, filesystem: Filesystem | None = None
    ) -> None:
        self.report = RestoreReport()
        self._source = source
        self._data = data
        self._progress = progress
        self._filesystem = filesystem or Filesystem()
        self._catalog = data.catalog.with_name(f"{data.catalog.name}.restoring")
        self._received: dict[SerialFile, Digest] = {}
        self._named: dict[str, Digest] = {}

    def run(self) -> Generator[None, None, None]:
        """Restore, in short steps.

        Raises:
            ConfigurationFault: the data folder is not empty or overlaps the backup, or this is no backup of a
                known version.
            Busy: another process uses the data folder.
            StorageDamaged: the backup is damaged in a way that leaves no usable catalog, or is not complete.
            StorageFull, OSError: the data folder cannot be written.
        """
        if self._source.document is not None:
            _require_known(self._source.document)
            self._progress.expect(self._source.document.size_bytes)
        self._source.require_apart(self._data.root)
        self._make_folder()
        with sole_use(self._data):
            self._require_empty()
            members = self._source.members()
            # The first member shows that this is a backup at all, before anything is written.
            first = next(members, None)
            if first is None or parse_name(first.name) is None:
                raise ConfigurationFault(
                    "this is not a backup: its first file is not the copy of a catalog; fix: name a backup that "
                    "'plugin-mirror backup' has written"
                )
            self._mark()
            with PendingFiles(self._filesystem) as pending:
                yield from self._restore(first, pending)
                for number, member in enumerate(members):
                    yield from self._restore(member, pending)
                    if number % _LOOKED_AT == 0:
                        yield
                pending.finish()
            self._finish()

    def _make_folder(self) -> None:
        root = self._data.root
        if not root.parent.is_dir():
            raise ConfigurationFault(f"there is no folder {root.parent}; fix: create it, or mount its disk")
        self._filesystem.make_folder(root)

    def _require_empty(self) -> None:
        root = self._data.root
        if not self._data.restoring.exists() and {entry.name for entry in os.scandir(root)} - _TOLERATED:
            raise ConfigurationFault(
                f"{root} is not empty, and no restore into it is unfinished; "
                "fix: restore into an absent or empty folder (--data)"
            )

    def _mark(self) -> None:
        if not self._data.restoring.exists():
            self._filesystem.create_file(self._data.restoring, b"", is_synced=True)
            sync_folder(self._filesystem, self._data.root)
        for folder in self._data.folders():
            self._filesystem.make_folder(folder)
        for parent in {folder.parent for folder in self._data.folders()}:
            sync_folder(self._filesystem, parent)

    def _restore(self, member: BackupMember, pending: PendingFiles) -> Iterator[None]:
        name = parse_name(member.name)
        match name:
            case Digest():
                yield from self._restore_blob(name, member.pieces, pending)
            case SerialFile(_, kind) if kind == CATALOG:
                self._received[name] = yield from self._write(self._catalog, member.pieces)
            case SerialFile(_, kind) if kind == KEY_FILE:
                self._received[name] = yield from self._write(self._fresh_key, member.pieces)
            case SerialFile(_, kind) if kind == SUMS:
                pending.finish()
                self._received[name] = yield from self._compare(member.pieces)
            case _ if member.name == DOCUMENT:
                self.report.document = BackupDocument.parse(_small(member.pieces), DOCUMENT)
            case _:
                pass  # a file that somebody has put beside the backup

    def _restore_blob(self, digest: Digest, pieces: Iterable[bytes], pending: PendingFiles) -> Iterator[None]:
        file = self._data.blob(digest)
        if (yield from self._is_present(file, digest)):
            self.report.present += 1
            return
        partial = self._data.uploads / f"{uuid.uuid4().hex}.restored"
        descriptor = self._filesystem.create(partial)
        try:
            size_bytes, found = yield from self._fill(descriptor, self._counted(pieces), digest.algorithm)
            if found == digest:
                pending.add(descriptor, partial, file, size_bytes)
                self.report.restored += 1
                self.report.restored_bytes += size_bytes
                return
            problem = "its bytes have another digest"
        except StorageDamaged as error:
            problem = str(error)
        except BaseException:
            self._drop(descriptor, partial)
            raise
        self._drop(descriptor, partial)
        self.report.damaged[str(digest)] = problem

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            self._progress.advance(len(piece))

    def _fill(
        self, descriptor: int, pieces: Iterable[bytes], algorithm: str = "sha256"
    ) -> Generator[None, None, tuple[int, Digest]]:
        """Write a file, and return its size and digest."""
        hasher = new_hasher(algorithm)
        size_bytes = 0
        for piece in pieces:
            hasher.update(piece)
            self._filesystem.write(descriptor, piece, size_bytes)
            size_bytes += len(piece)
            yield
        return size_bytes, Digest(algorithm, hasher.hexdigest())

    def _drop(self, descriptor: int, partial: Path) -> None:
        os.close(descriptor)
        self._filesystem.remove(partial)

    def _is_present(self, file: Path, digest: Digest) -> Generator[None, None, bool]:
        """Return True if an interrupted restore has written a blob. Its bytes are read and compared."""
        if not file.exists():
            return False
        try:
            with opened(file, digest) as descriptor:
                for piece in verified_pieces(descriptor, digest):
                    self._progress.advance(len(piece))
                    yield
        except StorageDamaged:
            return False
        return True

    @property
    def _fresh_key(self) -> Path:
        return self._data.uploads / "token.key.restored"

    def _write(self, file: Path, pieces: Iterable[bytes]) -> Generator[None, None, Digest]:
        """Write a file, make it durable, and return the digest of its bytes."""
        self._filesystem.remove(file)
        descriptor = self._filesystem.create(file)
        try:
            _, digest = yield from self._fill(descriptor, pieces)
            self._filesystem.sync(descriptor)
        finally:
            os.close(descriptor)
        return digest

    def _compare(self, pieces: Iterable[bytes]) -> Generator[None, None, Digest]:
        """Compare what was restored with the sums, and return their digest."""
        hasher = new_hasher()
        rest = b""
        for piece in pieces:
            hasher.update(piece)
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > _LINE_BYTES:
                raise StorageDamaged("the sums of the backup are damaged; fix: use another backup")
            for line in lines:
                self._compare_line(line.decode("ascii", "replace"))
            yield
        return Digest("sha256", hasher.hexdigest())

    def _compare_line(self, line: str) -> None:
        named = parse_sums_line(line)
        if named is None:
            return  # the digest of the sums tells whether they are damaged
        name, digest = named
        found = parse_name(name)
        if isinstance(found, SerialFile):
            self._named[str(found)] = digest
        elif isinstance(found, Digest) and not self._data.blob(found).exists():
            self.report.damaged.setdefault(str(found), "it is not in the backup")

    def _finish(self) -> None:
        document = self.report.document
        if document is None:
            raise StorageDamaged(
                f"the backup is not complete: it has no {DOCUMENT}; fix: use another backup, or run the command again "
                "with the whole one"
            )
        _require_known(document)
        catalog, key = SerialFile(document.serial, CATALOG), SerialFile(document.serial, KEY_FILE)
        if self._received.get(SerialFile(document.serial, SUMS)) != document.sums:
            raise StorageDamaged("the sums of the backup are damaged; fix: use another backup")
        if self._received.get(catalog) is None or self._received[catalog] != self._named.get(str(catalog)):
            raise StorageDamaged(f"{catalog} in the backup is damaged; fix: use another backup")
        try:
            with closing(open_catalog(self._catalog)) as database:
                require_whole(database)
        except (SqliteError, CatalogFault) as error:
            why = str(error) if isinstance(error, CatalogFault) else database_words(error)
            raise StorageDamaged(f"{catalog} in the backup is damaged ({why}); fix: use another backup") from error
        self.report.damaged.update(document.damaged)
        if key in self._received and self._received[key] == self._named.get(str(key)):
            self._filesystem.rename(self._fresh_key, self._data.token_key)
        else:
            self._filesystem.remove(self._fresh_key)  # a store without a key makes a new one
        self._filesystem.rename(self._catalog, self._data.catalog)
        sync_folder(self._filesystem, self._data.uploads)
        sync_folder(self._filesystem, self._data.root)
        self._filesystem.remove(self._data.restoring)
        sync_folder(self._filesystem, self._data.root)


def _require_known(document: BackupDocument) -> None:
    if not knows_revision(document.revision):
        raise ConfigurationFault(
            f"the backup was made by version {document.program}, whose catalog (revision {document.revision}) this "
            "version does not know; fix: use that version, or a later one"
        )


def _small(pieces: Iterable[bytes]) -> bytes:
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > _DOCUMENT_BYTES:
            raise StorageDamaged(f"{DOCUMENT} is too large")
    return bytes(content)
