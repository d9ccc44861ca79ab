"""The one way in which the store changes files: a seam for tests that watch it, or make it fail. All calls block."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mirror.runtime import private_files


class Filesystem:
    """The operating system's calls, made whole. Each raises OSError."""

    def make_folder(self, folder: Path) -> None:
        """Create a folder; one that exists is fine."""
        private_files.make_folder(folder)

    def create(self, file: Path) -> int:
        """Create a file that must not exist; returns its descriptor, for writing."""
        return private_files.open_file(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL)

    def create_file(self, file: Path, content: bytes, *, is_synced: bool = False) -> None:
        """Create a file that must not exist, with this content; return when that is on the medium, where asked for."""
        descriptor = self.create(file)
        try:
            self.write(descriptor, content, 0)
            if is_synced:
                self.sync(descriptor)
        finally:
            os.close(descriptor)

    def write(self, descriptor: int, content: bytes | bytearray, offset: int) -> None:
        """Write all of ``content`` at ``offset``."""
        view = memoryview(content)
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        """Cut a file down to its first ``size_bytes``."""
        os.ftruncate(descriptor, size_bytes)

    def sync(self, descriptor: int) -> None:
        """Return only when content and size of the file are on the medium."""
        os.fsync(descriptor)

    def begin_sync(self, descriptor: int, offset: int, size_bytes: int) -> None:
        """Have a part that was just written go to the medium, and do not wait: :meth:`sync` will have less to do."""
        # Linux begins to write dirty pages that are said not to be needed; those it could drop are not there yet.
        os.posix_fadvise(descriptor, offset, size_bytes, os.POSIX_FADV_DONTNEED)

    def let_go(self, descriptor: int, size_bytes: int) -> None:
        """Free the memory that holds the first bytes of a file, as far as they are on the medium; nothing is lost."""
        os.posix_fadvise(descriptor, 0, size_bytes, os.POSIX_FADV_DONTNEED)

    def sync_folder(self, folder: Path) -> None:
        """Return only when the names in the folder are on the medium."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, in place of what had it."""
        source.replace(target)

    def remove(self, file: Path) -> None:
        """Remove a file; one that does not exist is fine."""
        file.unlink(missing_ok=True)

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder; one that does not exist, or holds something, is fine."""
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTEMPTY}:
                raise
