"""Reading of a range of a bundle: hashed, and copied into a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiofiles
from aiofiles.threadpool.binary import AsyncBufferedIOBase

from mirror.bundle.format.byte_source import ByteSource
from mirror.bundle.format.output_file import put_in_place, sync_file, writing_file
from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.progress_reporting import Progress


async def write_range(
    source: ByteSource,
    start_bytes: int,
    size_bytes: int,
    path: Path,
    progress: Progress,
    *,
    partial: Path | None = None,
) -> Digest:
    """Write a range to a file of its own, durably, and return the digest of the range.

    Args:
        source: the bundle.
        start_bytes: offset of the range.
        size_bytes: size of the range.
        path: the file. It appears, or is replaced, when it is complete.
        progress: told about the copied bytes.
        partial: name of the file until then; None for ``PATH.partial``.

    Raises:
        StorageFull: the disk or the quota is full.
        StorageFault: the file cannot be written. The errors of :meth:`ByteSource.chunks`.
    """
    partial = partial or path.with_name(f"{path.name}.partial")
    with writing_file(path):
        async with aiofiles.open(partial, "wb") as file:
            digest = await copy_range(source, start_bytes, size_bytes, file, progress)
            await sync_file(file)
        await put_in_place(partial, path)
    return digest


async def copy_range(
    source: ByteSource, start_bytes: int, size_bytes: int, file: AsyncBufferedIOBase, progress: Progress
) -> Digest:
    """Copy a range to the position of a file, and return the digest of the range.

    Raises:
        OSError: the file cannot be written. The errors of :meth:`ByteSource.chunks`.
    """
    hasher = new_hasher()
    async for chunk in source.chunks(start_bytes, size_bytes):
        await asyncio.gather(in_thread(hasher.update, chunk), file.write(chunk))
        progress.advance(len(chunk))
    return Digest("sha256", hasher.hexdigest())


async def digest_of_range(source: ByteSource, start_bytes: int, size_bytes: int, progress: Progress) -> Digest:
    """Return the digest of a range. Raises the errors of :meth:`ByteSource.chunks`."""
    hasher = new_hasher()
    async for chunk in source.chunks(start_bytes, size_bytes):
        await in_thread(hasher.update, chunk)
        progress.advance(len(chunk))
    return Digest("sha256", hasher.hexdigest())
