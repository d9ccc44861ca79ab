"""The file that an export writes. It gets its name when it is complete and on the disk.

Until then, the bytes are in ``F.partial``, and ``F.partial.json`` says which of them are there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from mirror.bundle.export.output.removable_media import MOST_FAT_BYTES, is_fat
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.format.output_file import put_in_place, require_free, writing_file
from mirror.oci import Digest
from mirror.oci.errors import Busy, ConfigurationFault, StorageFull
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.progress_reporting import Progress


class SingleFileOutput:
    """A bundle in one file. Created by :meth:`open`.

    Implements :class:`mirror.bundle.export.output.bundle_output.BundleOutput`.

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
    async def open(cls, path: Path) -> AsyncIterator[SingleFileOutput]:
        """Open the partial file of a bundle, and keep other exports out.

        Raises:
            ConfigurationFault: the file may not be replaced, or its folder does not exist.
            Busy: another export writes the same file.
            StorageFault: the file cannot be written.
        """
        path = await in_thread(target_of, path)
        async with lock_partial(path) as descriptor:
            yield cls(path, descriptor)

    @property
    def size_bytes(self) -> int:
        return os.fstat(self._descriptor).st_size

    def holds(self, start_bytes: int, end_bytes: int) -> bool:
        return end_bytes <= self.size_bytes

    def write(self, content: bytes | memoryview, offset: int) -> None:
        view = memoryview(content)
        with writing_file(self.partial):
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written

    def read_into(self, buffer: memoryview, offset: int) -> int:
        with writing_file(self.partial):
            return os.preadv(self._descriptor, [buffer], offset)

    def begin_sync(self, offset: int, size_bytes: int) -> None:
        with suppress(OSError):  # DONTNEED starts the write-back of dirty pages, and drops those that are written
            os.posix_fadvise(self._descriptor, offset, size_bytes, os.POSIX_FADV_DONTNEED)

    def forget(self) -> None:
        """Drop the bytes from the memory of the system, so that the next read is from the medium. Sync them first."""
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        with writing_file(self.partial):
            os.fsync(self._descriptor)

    def truncate(self, size_bytes: int) -> None:
        with writing_file(self.partial):
            os.ftruncate(self._descriptor, size_bytes)

    def require_room(self, size_bytes: int) -> None:
        if size_bytes > MOST_FAT_BYTES and is_fat(self.path.parent):
            raise StorageFull(
                f"{self.path} needs {size_bytes} bytes, and the FAT filesystem of {self.path.parent} holds files of at "
                f"most {MOST_FAT_BYTES}; fix: write parts with --split 4095MiB"
            )
        with writing_file(self.partial):
            held_bytes = os.fstat(self._descriptor).st_blocks * 512
        require_room_beside(self.path, size_bytes - held_bytes)

    async def read_back(self, statement: Digest, progress: Progress) -> FileSource:
        await in_thread(self.forget)
        return await FileSource.open(self.partial)

    async def finish(self, statement: Digest, progress: Progress) -> None:
        with writing_file(self.path):
            await put_in_place(self.partial, self.path)
            await in_thread(self.journal.unlink, missing_ok=True)


def target_of(path: Path) -> Path:
    """Return the file that a path leads to. The target of a link is replaced, and the link stays.

    Raises:
        ConfigurationFault: links lead in a circle, or through a folder that may not be searched.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigurationFault(f"{path} cannot be written: {why}; fix: name another file") from error


def partial_of(path: Path) -> Path:
    """Return the file that holds the bytes of a bundle until it is complete."""
    return path.with_name(f"{path.name}.partial")


def require_room_beside(path: Path, size_bytes: int) -> None:
    """Check that a number of bytes is free on the disk of a bundle. Raises StorageFull."""
    fix = "free some space, write to another disk, or make a delta (--since)"
    require_free(path.parent, size_bytes, f"{path} needs", fix)


@asynccontextmanager
async def lock_partial(path: Path) -> AsyncIterator[int]:
    """Open the partial file of a bundle, and keep other exports out. Yield its descriptor.

    A partial file without content is removed at the end.

    Raises:
        ConfigurationFault: the file may not be replaced, or its folder does not exist.
        Busy: another export writes the same file.
        StorageFault: the file cannot be written.
    """
    descriptor = await in_thread(_open, path)
    try:
        yield descriptor
    finally:
        with suppress(OSError):
            if not os.fstat(descriptor).st_size:  # nothing was written
                partial_of(path).unlink()
        os.close(descriptor)


def _open(path: Path) -> int:
    partial = partial_of(path)
    with writing_file(path):  # the folder may not be searched
        if path.exists() and not path.is_file():
            # A rename would replace a device such as /dev/null for all programs of the host.
            raise ConfigurationFault(f"{path} is not a regular file; fix: name a file that may be replaced")
        if not path.parent.is_dir():
            raise ConfigurationFault(f"there is no folder {path.parent} for {path.name}; fix: create it")
    while True:
        with writing_file(partial):
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
