"""The writing side of an upload: its lock, its bytes and their running hash."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from mirror.oci.errors import UploadInvalid, UploadUnknown
from mirror.store.content.data_layout import UploadLayout
from mirror.store.content.disk_room import DiskRoom
from mirror.store.content.filesystem import Filesystem
from mirror.store.storage_threads import begin_in_thread
from mirror.store.uploads.running_hashes import RunningHash

#: Bytes to gather before a thread writes them, while there are few uploads.
PIECE_BYTES: Final = 1024 * 1024
#: The same while there are many uploads.
_LEAST_PIECE_BYTES: Final = 128 * 1024
#: Bytes gathered for all uploads together, until each gathers the least.
_ALL_PIECES_BYTES: Final = 8 * 1024 * 1024
#: Chunks of this size are written as they are. Smaller ones are copied together first.
_WHOLE_CHUNK_BYTES: Final = 16 * 1024
_READ_BYTES = 1024 * 1024
#: Approximate bytes of an upload that stay in the page cache. More would displace blobs that many hosts pull. Measured:
#: 143 MiB of an upload of 1 GiB stay.
_KEPT_BYTES: Final = 128 * 1024 * 1024
#: Bytes after which write-back to the disk is started, so that most of a blob is durable when its last byte comes.
_LEAVING_BYTES: Final = 8 * 1024 * 1024


class UploadWriter:
    """The open and locked files of an upload. All calls block.

    The holder of the lock is the only writer over all processes. The lock is on the session file. The data file is
    opened by its path, under the lock. A data file that has become a blob no longer has that path, so nobody ever
    writes to a blob.
    """

    def __init__(
        self, upload: UploadLayout, filesystem: Filesystem, room: DiskRoom | None = None, *, is_read: bool = False
    ) -> None:
        """Lock and open the upload.

        Args:
            upload: the files of the upload.
            filesystem: changes the files.
            room: refuses bytes that do not fit; None to let the disk decide.
            is_read: True if others read the file while it is written, so that all of it should stay in the page cache.

        Raises:
            UploadUnknown: the upload has ended.
            UploadInvalid: another request is writing to the upload.
            OSError: the disk failed.
        """
        self._filesystem = filesystem
        self._room = room
        self._is_read = is_read
        self._descriptors: list[int] = []
        try:
            # Lock first, open the data second: see the docstring of the class.
            lock = self._open(upload.session, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._data = self._open(upload.data, os.O_RDWR)
            self.size_bytes = self._leaving_bytes = os.fstat(self._data).st_size
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

    def is_of(self, upload: UploadLayout) -> bool:
        """Check whether the locked session file is still the one at the path of ``upload``."""
        try:
            return os.path.samestat(os.fstat(self._descriptors[0]), upload.session.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Release the lock and close the files. Does nothing if called again."""
        self._data = -1
        while self._descriptors:
            os.close(self._descriptors.pop())

    def reader(self) -> IO[bytes]:
        """Open the data file again, for reading it while it grows and after. The caller closes it."""
        return os.fdopen(os.dup(self._data), "rb", buffering=0)

    def write(self, chunks: Sequence[bytes | bytearray], running: RunningHash | None) -> None:
        """Append chunks to the file and to ``running``.

        If writing a chunk fails, neither the size nor the hash counts this chunk or later ones.

        Raises:
            StorageFull: the chunks do not fit. None is written.
            OSError: the disk failed.
        """
        if self._room is not None:
            self._room.require(sum(map(len, chunks)), self)
        for chunk in chunks:
            self._filesystem.write(self._data, chunk, self.size_bytes)
            self.size_bytes += len(chunk)
            if running is not None:
                running.update(chunk)
        if (waiting_bytes := self.size_bytes - self._leaving_bytes) >= _LEAVING_BYTES:
            self._filesystem.begin_sync(self._data, self._leaving_bytes, waiting_bytes)
            if not self._is_read and (left_bytes := self._leaving_bytes - _KEPT_BYTES) > 0:
                self._filesystem.let_go(self._data, left_bytes)
            self._leaving_bytes = self.size_bytes

    def truncate(self, size_bytes: int) -> None:
        """Keep the first ``size_bytes`` bytes only."""
        self._filesystem.truncate(self._data, size_bytes)
        self.size_bytes = size_bytes
        self._leaving_bytes = min(self._leaving_bytes, size_bytes)

    def hash_on(self, running: RunningHash, most_bytes: int) -> bool:
        """Read the next ``most_bytes`` bytes and add them to a hash. Return True if the file may hold more."""
        stop = running.size_bytes + most_bytes
        while running.size_bytes < stop:
            chunk = os.pread(self._data, min(_READ_BYTES, stop - running.size_bytes), running.size_bytes)
            if not chunk:
                return False
            running.update(chunk)
        return True

    def sync(self) -> None:
        """Make the bytes durable."""
        self._filesystem.sync(self._data)


class PieceSizes:
    """The number of bytes to gather for one hop into a thread. The size shrinks with more uploads, which bounds memory.

    A single upload holds two pieces, one being gathered and one being written. One of many uploads holds only one.
    """

    def __init__(self) -> None:
        self.uploads = 0

    @property
    def piece_bytes(self) -> int:
        """The present size of a piece."""
        return max(_LEAST_PIECE_BYTES, min(PIECE_BYTES, _ALL_PIECES_BYTES // max(self.uploads, 1)))


class Pieces:
    """Gathers chunks into pieces. A thread writes one piece while the next one is gathered.

    Args:
        receiving: writes the pieces.
        running: the hash to update; None for none.
        sizes: the sizes of pieces, shared by all uploads of the process.

    Attributes:
        failed: True if a piece could not be written.
    """

    def __init__(self, receiving: UploadWriter, running: RunningHash | None, sizes: PieceSizes) -> None:
        self.failed = False
        self._receiving = receiving
        self._running = running
        self._sizes = sizes
        self._chunks: list[bytes | bytearray] = []
        self._gathered_bytes = 0
        self._hop: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        self._sizes.uploads += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sizes.uploads -= 1

    async def add(self, chunk: bytes) -> None:
        """Take a chunk. Raises StorageFault or StorageFull if an earlier chunk could not be written."""
        self._gather(chunk)
        piece_bytes = self._sizes.piece_bytes
        if self._gathered_bytes >= piece_bytes:
            await self._settle()
            self._begin()
            if piece_bytes < PIECE_BYTES:
                await self._settle()  # with many uploads each holds one piece only; the others go on meanwhile

    async def finish(self) -> None:
        """Write the gathered chunks, unless an earlier piece failed. Raises as :meth:`add`."""
        await self._settle()
        if self._chunks and not self.failed:
            self._begin()
            await self._settle()

    def _gather(self, chunk: bytes) -> None:
        self._gathered_bytes += len(chunk)
        if len(chunk) >= _WHOLE_CHUNK_BYTES:
            self._chunks.append(chunk)
            return
        # Small chunks are put together. Each on its own would cost more memory and a system call.
        if not self._chunks or not isinstance(self._chunks[-1], bytearray):
            self._chunks.append(bytearray())
        self._chunks[-1] += chunk

    def _begin(self) -> None:
        chunks, self._chunks, self._gathered_bytes = self._chunks, [], 0
        self._hop = begin_in_thread("store an upload", self._receiving.write, chunks, self._running)

    async def _settle(self) -> None:
        hop, self._hop = self._hop, None
        if hop is None:
            return
        try:
            await hop
        finally:
            self.failed = self.failed or hop.exception() is not None


def remove_upload(upload: UploadLayout, filesystem: Filesystem) -> None:
    """End an upload and remove its files.

    The session file goes last, because the lock is on it: a process that creates and locks a new session file must not
    find old data.
    """
    filesystem.remove(upload.data)
    filesystem.remove(upload.session)
    filesystem.remove_folder(upload.folder)
