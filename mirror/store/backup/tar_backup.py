"""A backup as one tar, for a pipe. Its members are the files of a backup in a folder. All calls block."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Generator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from mirror.oci import Digest
from mirror.oci.errors import StorageDamaged
from mirror.store.backup.backup_document import BackupDocument
from mirror.store.backup.backup_layout import CATALOG, DOCUMENT, KEY_FILE, SUMS, SerialFile, blob_name
from mirror.store.backup.backup_request import BackupReport, BackupRequest, ByteProgress, CopyMethod
from mirror.store.backup.catalog_snapshot import CopiedCatalog, copy_live_catalog
from mirror.store.backup.sums_writer import SumsWriter
from mirror.store.backup.verified_reading import PIECE_BYTES, opened, verified_pieces
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem

_SERIAL: Final = 1
_MODE: Final = 0o600


class TarBackup:
    """Writes a backup of a data folder to a stream.

    Args:
        data: the data folder. Nothing may remove its files meanwhile.
        stream: receives the tar. The last member makes the backup complete.
        request: what is asked for.
        progress: receives the progress.
        now: returns the time of day.
        copy_catalog: writes the catalog to a new file and returns its revision; None for that of the data folder.

    Attributes:
        report: what was done so far.
    """

    def __init__(
        self,
        data: DataLayout,
        stream: BinaryIO,
        request: BackupRequest,
        progress: ByteProgress,
        *,
        now: Callable[[], datetime],
        copy_catalog: Callable[[Path], str] | None = None,
    ) -> None:
        self.report = BackupReport()
        self._data = data
        self._stream = stream
        self._request = request
        self._progress = progress
        self._now = now
        self._copy_catalog = copy_catalog or partial(copy_live_catalog, data.catalog)
        self._time = 0

    def run(self) -> Generator[None, None, None]:
        """Write the backup, in short steps.

        Raises:
            CatalogFault: the catalog is damaged.
            StorageFull: there is no room for the copy of the catalog in ``$TMPDIR``.
            OSError: the stream cannot be written.
        """
        with tempfile.TemporaryDirectory(prefix="plugin-mirror-") as made:
            copy, sums_file = Path(made) / CATALOG, Path(made) / SUMS
            created = self._now()
            self._time = int(created.timestamp())
            revision = self._copy_catalog(copy)
            with CopiedCatalog.open(copy) as catalog:
                self._progress.expect(sum(size_bytes for _, size_bytes in catalog.blobs()))
                with SumsWriter(sums_file, Filesystem()) as sums:
                    yield from self._add(CATALOG, copy, sums)
                    if self._data.token_key.exists():
                        yield from self._add(KEY_FILE, self._data.token_key, sums)
                    for digest, size_bytes in catalog.blobs():
                        yield from self._add_blob(digest, size_bytes, sums)
                    document = BackupDocument(
                        _SERIAL,
                        created,
                        str(self._data.root.resolve()),
                        self._request.program,
                        revision,
                        sums.blobs,
                        sums.size_bytes,
                        sums.finish(),
                        self.report.problems,
                    )
            yield from self._add(SUMS, sums_file)
            encoded = document.encode()
            self._begin(DOCUMENT, len(encoded))
            self._stream.write(encoded + _padding(len(encoded)) + bytes(2 * tarfile.BLOCKSIZE))
            self._stream.flush()
            self.report.document = document

    def _add(self, kind: str, file: Path, sums: SumsWriter | None = None) -> Generator[None, None, None]:
        """Add a file other than a blob."""
        name = str(SerialFile(_SERIAL, kind))
        size_bytes = file.stat().st_size
        self._begin(name, size_bytes)
        with file.open("rb") as source:
            while piece := source.read(PIECE_BYTES):
                self._stream.write(piece)
                yield
        self._stream.write(_padding(size_bytes))
        if sums is not None:
            sums.add_file(name, file)

    def _add_blob(self, digest: Digest, size_bytes: int, sums: SumsWriter) -> Generator[None, None, None]:
        left_bytes = size_bytes
        try:
            with opened(self._data.blob(digest), digest, size_bytes) as source:
                self._begin(blob_name(digest), size_bytes)
                try:
                    for piece in verified_pieces(source, digest):
                        self._stream.write(piece)
                        left_bytes -= len(piece)
                        self._progress.advance(len(piece))
                        yield
                finally:
                    # The member keeps its size. Its wrong digest tells that the bytes are not those of the blob.
                    while left_bytes > 0:
                        zeros = min(left_bytes, PIECE_BYTES)
                        self._stream.write(bytes(zeros))
                        left_bytes -= zeros
                    self._stream.write(_padding(size_bytes))
        except StorageDamaged as error:
            self.report.damaged[str(digest)] = str(error)
            return
        sums.add_blob(digest, size_bytes)
        self.report.written[CopyMethod.COPY] = self.report.written.get(CopyMethod.COPY, 0) + 1
        self.report.written_bytes += size_bytes

    def _begin(self, name: str, size_bytes: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size_bytes, _MODE, self._time
        self._stream.write(member.tobuf(tarfile.PAX_FORMAT))


def _padding(size_bytes: int) -> bytes:
    return bytes(-size_bytes % tarfile.BLOCKSIZE)
