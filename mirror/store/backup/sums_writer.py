"""Writing of the file of sums. All calls block."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Final

from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.store.backup.backup_layout import blob_name, sums_line
from mirror.store.content.filesystem import Filesystem

_BUFFER_BYTES: Final = 1024 * 1024


class SumsWriter:
    """Writes the file of sums.

    Args:
        file: path of the new file.
        filesystem: changes the file.

    Attributes:
        blobs: number of blobs in the file.
        size_bytes: size of these blobs.
    """

    def __init__(self, file: Path, filesystem: Filesystem) -> None:
        self.blobs = 0
        self.size_bytes = 0
        self._filesystem = filesystem
        self._descriptor = filesystem.create(file)
        self._hasher = new_hasher()
        self._buffer = bytearray()
        self._offset = 0

    def __enter__(self) -> SumsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._descriptor)

    def add_blob(self, digest: Digest, size_bytes: int) -> None:
        """Add a blob that is in the backup. Raises OSError."""
        self.blobs += 1
        self.size_bytes += size_bytes
        self._add(blob_name(digest), digest)

    def add_file(self, name: str, file: Path) -> None:
        """Add another file of the backup, which is read for its digest. Raises OSError."""
        self._add(name, file_digest(file))

    def finish(self) -> Digest:
        """Make the file durable, and return its digest. Raises OSError."""
        self._flush()
        self._filesystem.sync(self._descriptor)
        return Digest("sha256", self._hasher.hexdigest())

    def _add(self, name: str, digest: Digest) -> None:
        self._buffer += sums_line(name, digest).encode("ascii")
        if len(self._buffer) >= _BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._hasher.update(self._buffer)
        self._filesystem.write(self._descriptor, bytes(self._buffer), self._offset)
        self._offset += len(self._buffer)
        self._buffer.clear()


def file_digest(file: Path) -> Digest:
    """Return the sha256 digest of a file. Raises OSError."""
    hasher = new_hasher()
    with file.open("rb") as opened:
        while piece := opened.read(_BUFFER_BYTES):
            hasher.update(piece)
    return Digest("sha256", hasher.hexdigest())
