"""The port to what an export writes: a bundle that appears when it is complete and on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from mirror.bundle.format.byte_source import ByteSource
from mirror.oci import Digest
from mirror.transfer.progress_reporting import Progress


class BundleOutput(Protocol):
    """A bundle that is written at any offset, by many threads at once. Methods block, except for those that are async.

    Attributes:
        path: path of the complete bundle.
        journal: file with the progress.
        size_bytes: number of bytes on the disk.
    """

    path: Path
    journal: Path

    @property
    def size_bytes(self) -> int: ...

    def holds(self, start_bytes: int, end_bytes: int) -> bool:
        """Return True if a range was written, as far as sizes of files tell."""
        ...

    def write(self, content: bytes | memoryview, offset: int) -> None:
        """Write all of ``content`` at an offset."""
        ...

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read at an offset, and return the number of bytes."""
        ...

    def begin_sync(self, offset: int, size_bytes: int) -> None:
        """Start writing a range to the disk without waiting, so that :meth:`sync` has less to do."""
        ...

    def sync(self) -> None:
        """Wait until all written bytes are on the disk."""
        ...

    def truncate(self, size_bytes: int) -> None:
        """Cut the bundle, or let it grow by zeros."""
        ...

    def require_room(self, size_bytes: int) -> None:
        """Check that a bundle of a size fits.

        Raises:
            StorageFull: the disk has too little space, or its filesystem holds no files of this size.
            ConfigurationFault: there would be too many parts.
        """
        ...

    async def read_back(self, statement: Digest, progress: Progress) -> ByteSource:
        """Return the written bytes, to be read from the medium. Sync them first.

        Args:
            statement: digest of the statement.
            progress: receiver of the progress of further reading.
        """
        ...

    async def finish(self, statement: Digest, progress: Progress) -> None:
        """Make the bundle appear. Its bytes must be synced.

        Args:
            statement: digest of the statement.
            progress: receiver of the progress of further reading.
        """
        ...
