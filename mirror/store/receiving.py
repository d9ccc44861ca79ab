"""The writing side of one upload: who may write, the bytes, and their running hash."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.errors import UploadInvalid, UploadUnknown
from mirror.store.filesystem import Filesystem
from mirror.store.layout import UploadLayout
from mirror.store.running import RunningHash
from mirror.store.threads import begin_in_thread, to_the_end

#: Bytes gathered before a thread is asked to write them, at least.
PIECE_BYTES: Final = 1024 * 1024
_READ_BYTES = 1024 * 1024


class Receiving:
    """An upload's files, open, with the lock that makes its holder the only writer over all processes. All calls block.

    The lock is on the session file, and the data is opened by its name under the lock: when it has become a blob, it no
    longer has that name. So nobody ever writes to a file that has become a blob.
    """

    def __init__(self, upload: UploadLayout, filesystem: Filesystem) -> None:
        """Lock and open the upload.

        Raises:
            UploadUnknown: it has ended. UploadInvalid: somebody else is writing to it. OSError: the disk failed.
        """
        self._filesystem = filesystem
        self._descriptors: list[int] = []
        try:
            lock = self._open(upload.session, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._data = self._open(upload.data, os.O_RDWR)
            self.size_bytes = os.fstat(self._data).st_size
        except FileNotFoundError as error:
            self.close()
            raise UploadUnknown("the upload has ended", upload=upload.folder.name) from error
        except BlockingIOError as error:
            self.close()
            raise UploadInvalid("another request is writing to the upload", upload=upload.folder.name) from error
        except OSError:
            self.close()
            raise

    def _open(self, file: Path, flags: int) -> int:
        descriptor = os.open(file, flags | os.O_CLOEXEC)
        self._descriptors.append(descriptor)
        return descriptor

    def close(self) -> None:
        """Give back lock and files; a second time does nothing."""
        self._data = -1
        while self._descriptors:
            os.close(self._descriptors.pop())

    def write(self, chunks: list[bytes], running: RunningHash | None) -> None:
        """Add bytes to the end, and to ``running``; where that fails, neither counts them."""
        content = b"".join(chunks)
        self._filesystem.write(self._data, content, self.size_bytes)
        self.size_bytes += len(content)
        if running is not None:
            running.update(content)

    def truncate(self, size_bytes: int) -> None:
        """Keep the first ``size_bytes`` only."""
        self._filesystem.truncate(self._data, size_bytes)
        self.size_bytes = size_bytes

    def digest(self, algorithm: str) -> Digest:
        """The digest of all bytes, by reading them."""
        running = RunningHash(algorithm)
        while chunk := os.pread(self._data, _READ_BYTES, running.size_bytes):
            running.update(chunk)
        return running.digest

    def sync(self) -> None:
        """Make the bytes durable."""
        self._filesystem.sync(self._data)


class Pieces:
    """Gathers chunks and has them written by a thread, a piece at a time, while the next one is gathered.

    Attributes:
        failed: whether a piece could not be written.
    """

    def __init__(self, receiving: Receiving, running: RunningHash | None) -> None:
        self.failed = False
        self._receiving = receiving
        self._running = running
        self._chunks: list[bytes] = []
        self._gathered_bytes = 0
        self._hop: asyncio.Future[None] | None = None

    async def add(self, chunk: bytes) -> None:
        """Take a chunk. Raises StorageFault, StorageFull: an earlier one could not be written."""
        self._chunks.append(chunk)
        self._gathered_bytes += len(chunk)
        if self._gathered_bytes >= PIECE_BYTES:
            await self._settle()
            self._begin()

    async def finish(self) -> None:
        """Write what is gathered, unless a piece has failed before. Raises as :meth:`add`."""
        await self._settle()
        if self._chunks and not self.failed:
            self._begin()
            await self._settle()

    def _begin(self) -> None:
        chunks, self._chunks, self._gathered_bytes = self._chunks, [], 0
        self._hop = begin_in_thread("store an upload", self._receiving.write, chunks, self._running)

    async def _settle(self) -> None:
        hop, self._hop = self._hop, None
        if hop is None:
            return
        try:
            await to_the_end(hop)
        finally:
            self.failed = self.failed or hop.exception() is not None


@asynccontextmanager
async def closing_stream(chunks: AsyncIterable[bytes]) -> AsyncIterator[None]:
    """Close a stream at the end, where it is one that can be closed."""
    try:
        yield
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def remove_upload(upload: UploadLayout, filesystem: Filesystem) -> None:
    """End an upload and remove its files. The session file goes first: without it the upload is not there."""
    filesystem.remove(upload.session)
    filesystem.remove(upload.data)
    filesystem.remove_folder(upload.folder)
