"""Reading of a range of a bundle: hashed, and copied into an open file."""

from __future__ import annotations

import asyncio

from aiofiles.threadpool.binary import AsyncBufferedIOBase

from mirror.bundle.format.byte_source import ByteSource
from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.progress_reporting import Progress


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
