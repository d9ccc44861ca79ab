"""The file that an export writes. It gets its name when it is complete and on the disk.

Until then, the bytes are in ``F.partial``, and ``F.partial.json`` says which of them are there. All methods block.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from mirror.bundle.file_faults import file_faults
from mirror.oci.errors import Busy, ConfigurationFault, StorageFull
from mirror.runtime.concurrency.threads import in_thread


class BundleOutput:
    """A file that is written at any offset, by many threads at once. Created by :meth:`open`.

    Attributes:
        path: the name of the complete file.
        partial: the name until then.
        journal: file with the progress.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.partial = partial_of(path)
        self.journal = path.with_name(f"{path.name}.partial.json")
        self._descriptor = descriptor

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[BundleOutput]:
        """Open the partial file of a bundle, and keep other exports out.

        Raises:
            ConfigurationFault: the file may not be replaced, or its folder does not exist.
            Busy: another export writes the same file.
            StorageFault: the file cannot be written.
        """
        # The target of a link is replaced, and the link stays.
        path = await in_thread(path.resolve)
        descriptor = await in_thread(_open, path)
        try:
            yield cls(path, descriptor)
        finally:
            with suppress(OSError):
                if not os.fstat(descriptor).st_size:  # nothing was written
                    partial_of(path).unlink()
            os.close(descriptor)

    @property
    def size_bytes(self) -> int:
        """Size of the partial file."""
        return os.fstat(self._descriptor).st_size

    def write(self, content: bytes | memoryview, offset: int) -> None:
        """Write all of ``content`` at an offset."""
        view = memoryview(content)
        with file_faults(self.partial):
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read at an offset, and return the number of bytes."""
        with file_faults(self.partial):
            return os.preadv(self._descriptor, [buffer], offset)

    def begin_sync(self, offset: int, size_bytes: int) -> None:
        """Start writing a range to the disk without waiting, so that :meth:`sync` has less to do."""
        with suppress(OSError):  # DONTNEED starts the write-back of dirty pages, and drops those that are written
            os.posix_fadvise(self._descriptor, offset, size_bytes, os.POSIX_FADV_DONTNEED)

    def forget(self) -> None:
        """Drop the bytes from the memory of the system, so that the next read is from the medium. Sync them first."""
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Wait until all written bytes are on the disk."""
        with file_faults(self.partial):
            os.fsync(self._descriptor)

    def truncate(self, size_bytes: int) -> None:
        """Cut the file, or let it grow by zeros."""
        with file_faults(self.partial):
            os.ftruncate(self._descriptor, size_bytes)

    def require_room(self, size_bytes: int) -> None:
        """Check that a file of a size fits.

        Raises:
            StorageFull: the disk has too little space.
        """
        with file_faults(self.partial):
            found, held_bytes = os.statvfs(self.path.parent), os.fstat(self._descriptor).st_blocks * 512
        free_bytes = found.f_bavail * found.f_frsize
        if size_bytes - held_bytes > free_bytes:
            raise StorageFull(
                f"{self.path} needs {size_bytes - held_bytes} bytes, and {self.path.parent} has {free_bytes}; "
                "fix: free some space, write to another disk, or make a delta (--since)"
            )

    def finish(self) -> None:
        """Give the file its name. Its bytes must be synced."""
        with file_faults(self.path):
            self.partial.replace(self.path)
            self.journal.unlink(missing_ok=True)
            _sync_folder(self.path.parent)


def partial_of(path: Path) -> Path:
    """Return the file that holds the bytes of a bundle until it is complete."""
    return path.with_name(f"{path.name}.partial")


def _open(path: Path) -> int:
    partial = partial_of(path)
    if path.exists() and not path.is_file():
        # A rename would replace a device such as /dev/null for all programs of the host.
        raise ConfigurationFault(f"{path} is not a regular file; fix: name a file that may be replaced")
    if not path.parent.is_dir():
        raise ConfigurationFault(f"there is no folder {path.parent} for {path.name}; fix: create it")
    while True:
        with file_faults(partial):
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_named(descriptor, partial):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise Busy(f"another command writes {partial}; fix: wait for its end, or choose another file") from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the other export has just given the file its name


def _is_named(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
