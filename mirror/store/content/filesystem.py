"""All changes that the store makes to files. All calls block.

The store changes files through :class:`Filesystem` only, so that a test can watch the calls or make them fail.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mirror.runtime.files import private_files


class Filesystem:
    """File operations of the operating system. Each one does all of its work or raises OSError."""

    def make_folder(self, folder: Path) -> None:
        """Create a folder. Do nothing if it exists."""
        private_files.make_folder(folder)

    def create(self, file: Path) -> int:
        """Create a file that must not exist, and return its descriptor for writing."""
        return private_files.open_file(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL)

    def create_file(self, file: Path, content: bytes, *, is_synced: bool = False) -> None:
        """Create a file that must not exist, with this content. Sync the file to the disk if ``is_synced``."""
        descriptor = self.create(file)
        try:
            self.write(descriptor, content, 0)
            if is_synced:
                self.sync(descriptor)
        finally:
            os.close(descriptor)

    def write(self, descriptor: int, content: bytes | bytearray, offset: int) -> None:
        """Write all of ``content`` at ``offset``."""
        # pwrite may write less than it was given. A view avoids a copy of the rest.
        view = memoryview(content)
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        """Cut a file down to its first ``size_bytes`` bytes."""
        os.ftruncate(descriptor, size_bytes)

    def sync(self, descriptor: int) -> None:
        """Sync content and size of a file to the disk, and return when they are durable."""
        os.fsync(descriptor)

    def begin_sync(self, descriptor: int, offset: int, size_bytes: int) -> None:
        """Start writing a part of a file to the disk without waiting, so that :meth:`sync` has less to do."""
        # DONTNEED makes Linux start the write-back of dirty pages. It drops clean pages only, and these were just
        # written.
        os.posix_fadvise(descriptor, offset, size_bytes, os.POSIX_FADV_DONTNEED)

    def let_go(self, descriptor: int, size_bytes: int) -> None:
        """Drop the first ``size_bytes`` bytes of a file from the page cache. Bytes not yet on the disk stay in it."""
        os.posix_fadvise(descriptor, 0, size_bytes, os.POSIX_FADV_DONTNEED)

    def sync_folder(self, folder: Path) -> None:
        """Sync the names in a folder to the disk, and return when they are durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file. Replace the target if it exists."""
        source.replace(target)

    def remove(self, file: Path) -> None:
        """Remove a file. Do nothing if it does not exist."""
        file.unlink(missing_ok=True)

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder. Do nothing if it does not exist or is not empty."""
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTEMPTY}:
                raise
