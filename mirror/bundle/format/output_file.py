"""Files that appear under their names only when they are whole and on the disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aiofiles
import aiofiles.os
from aiofiles.threadpool.binary import AsyncBufferedIOBase

from mirror.oci.byte_sizes import shown_size
from mirror.oci.errors import ConfigurationFault, StorageFault, StorageFull
from mirror.runtime.concurrency.threads import in_thread


@contextmanager
def writing_file(path: Path) -> Iterator[None]:
    """Translate an OSError of writing a file.

    Raises:
        StorageFull: the disk or the quota is full.
        StorageFault: the file cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        if error.errno in StorageFull.ERRNOS:
            raise StorageFull(f"{path} cannot be written: {why}; fix: free some space and try again") from error
        if error.errno == errno.EFBIG:
            raise StorageFull(
                f"{path} cannot be written: {why}; fix: write parts that the file system of the drive can hold, "
                "such as 4095MiB for FAT32"
            ) from error
        raise StorageFault(f"{path} cannot be written: {why}") from error


def require_free(folder: Path, size_bytes: int, needs: str, fix: str) -> None:
    """Check that a disk has room. Blocks.

    Args:
        folder: a folder on the disk.
        size_bytes: number of bytes to write.
        needs: beginning of the message, such as ``the parts need``.
        fix: advice in the message.

    Raises:
        StorageFull: the disk has too little room.
        StorageFault: there is no such folder.
    """
    with writing_file(folder):
        free_bytes = shutil.disk_usage(folder).free
    if size_bytes > free_bytes:
        raise StorageFull(
            f"{needs} {shown_size(size_bytes)}, and {folder} has {shown_size(free_bytes)} free; fix: {fix}"
        )


async def sync_file(file: AsyncBufferedIOBase) -> None:
    """Flush an open file and sync it to the disk. Raises OSError."""
    await file.flush()
    await in_thread(os.fsync, file.fileno())


async def put_in_place(partial: Path, path: Path) -> None:
    """Give a synced file its name, durably. A file with that name is replaced. Raises OSError."""
    await aiofiles.os.replace(partial, path)
    await in_thread(_sync_folder, path.parent)


async def write_document(path: Path, content: bytes) -> None:
    """Write a small file, which replaces an existing file at once.

    Raises:
        ConfigurationFault: the folder of the file does not exist.
        StorageFull: the disk or the quota is full.
        StorageFault: the file cannot be written for another reason.
    """
    if not await aiofiles.os.path.isdir(path.parent):
        raise ConfigurationFault(f"there is no folder {path.parent}; fix: create it")
    partial = path.with_name(f"{path.name}.partial")
    with writing_file(path):
        try:
            async with aiofiles.open(partial, "wb") as file:
                await file.write(content)
                await sync_file(file)
            await put_in_place(partial, path)
        except BaseException:
            with suppress(OSError):
                await aiofiles.os.remove(partial)
            raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems for drives, such as NTFS, sync no folders
            raise
    finally:
        os.close(descriptor)
