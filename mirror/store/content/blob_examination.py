"""Examination of the files of blobs: what is wrong with a file, and damaged files set aside."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.oci.errors import DigestInvalid
from mirror.runtime.concurrency.threads import await_or_release
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.storage_errors import storage_faults
from mirror.store.storage_threads import begin_in_thread, in_thread

_PIECE_BYTES: Final = 1024 * 1024
#: Content remembered as suspect. The next scrub finds the rest.
_MOST_SUSPECTS: Final = 1000
#: Errors that say that the disk has lost the bytes of one file. Any other error says nothing about the bytes.
_LOST_BYTES: Final = frozenset({errno.EIO, errno.ENODATA, errno.EBADMSG, errno.EUCLEAN})

#: Identity of a file and of its content: inode, and time of the last change in nanoseconds.
_Identity = tuple[int, int]


class Suspects:
    """Content that a read has found damaged. Any thread may add to it."""

    def __init__(self) -> None:
        self._digests: dict[Digest, None] = {}

    def add(self, digest: Digest) -> None:
        """Remember that a read found ``digest`` damaged."""
        if len(self._digests) < _MOST_SUSPECTS:
            self._digests[digest] = None

    def take(self) -> list[Digest]:
        """Return what was remembered, and forget it."""
        taken, self._digests = self._digests, {}
        return list(taken)


@dataclass(frozen=True, slots=True)
class ExaminedFile:
    """Result of the examination of a file.

    Attributes:
        size_bytes: size of the file; 0 if it is missing.
        problem: what is wrong with the bytes; empty if they have the digest.
        identity: the file that was examined; None if it is missing.
    """

    size_bytes: int
    problem: str
    identity: _Identity | None


class BlobExamination:
    """Reads files of blobs to verify them, and sets damaged ones aside.

    Args:
        layout: the data folder.
        filesystem: changes the files.
        unsynced: receives the folders that must be synced before the next commit.
    """

    def __init__(self, layout: DataLayout, filesystem: Filesystem, unsynced: set[Path]) -> None:
        self._layout = layout
        self._filesystem = filesystem
        self._unsynced = unsynced

    async def examine(self, digest: Digest, read: Callable[[int], Awaitable[None]]) -> ExaminedFile:
        """Read the file of a blob from the disk and compare its digest.

        Args:
            digest: the digest of the blob.
            read: called after each piece with its size in bytes. It may wait, to keep to a rate.

        Raises:
            StorageFault: the file cannot be opened or read for a reason that says nothing about its bytes.
        """
        beginning = begin_in_thread(f"read {digest}", self._begin, digest)
        reading = await await_or_release(beginning, release=_close)
        if reading is None:
            return ExaminedFile(0, "the file is missing", None)
        try:
            await read(reading.position)
            while not reading.has_ended:
                await read(await in_thread(f"read {digest}", reading.step))
            return reading.result
        finally:
            reading.close()

    def read_whole(self, sizes: Mapping[Digest, int]) -> dict[Digest, bytes]:
        """Read small blobs from the disk, and return the bytes of those that have their size and digest. Blocks."""
        found = {digest: self._read_small(digest, size_bytes) for digest, size_bytes in sizes.items()}
        return {digest: content for digest, content in found.items() if content is not None}

    def _read_small(self, digest: Digest, size_bytes: int) -> bytes | None:
        try:
            descriptor = os.open(self._layout.blob(digest), os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._filesystem.let_go(descriptor, size_bytes)
                content = os.pread(descriptor, size_bytes + 1, 0)
            finally:
                os.close(descriptor)
        except OSError:
            return None  # an examination tells what is wrong
        return content if len(content) == size_bytes and Digest.of(content, digest.algorithm) == digest else None

    def _begin(self, digest: Digest) -> _FileReading | None:
        """Open a file and read its first piece. A small file is closed then: one hop into a thread is enough for it."""
        try:
            descriptor = os.open(self._layout.blob(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        reading = _FileReading(digest, descriptor, self._filesystem)
        try:
            reading.step()
        except OSError:
            reading.close()
            raise
        return reading

    def set_aside(self, digest: Digest, examined: ExaminedFile) -> bool:
        """Move a damaged file to the folder ``damaged``. Blocks; only inside :meth:`Catalog.write`.

        Returns:
            False if the file is no longer the one that was examined. Nothing is moved then.
        """
        blob, aside = self._layout.blob(digest), self._layout.set_aside(digest)
        with storage_faults(f"set {digest} aside"):
            try:
                present = blob.stat()
            except FileNotFoundError:
                return examined.identity is None
            if (present.st_ino, present.st_mtime_ns) != examined.identity:
                return False
            self._filesystem.rename(blob, aside)
        self._unsynced |= {blob.parent, aside.parent}
        return True

    def drop(self, digest: Digest, examined: ExaminedFile) -> bool:
        """Remove a damaged file whose content the bucket holds. Blocks; only inside :meth:`Catalog.write`.

        Returns:
            False if the file is no longer the one that was examined. Nothing is removed then.
        """
        blob = self._layout.blob(digest)
        with storage_faults(f"remove damaged {digest}"):
            try:
                present = blob.stat()
            except FileNotFoundError:
                return True
            if (present.st_ino, present.st_mtime_ns) != examined.identity:
                return False
            self._filesystem.remove(blob)
        return True

    def aside(self) -> Iterator[Digest]:
        """Yield the digests of the files that were set aside. Blocks."""
        with storage_faults("list damaged files"):
            for file in self._layout.damaged.iterdir():
                with suppress(DigestInvalid):  # not a file of this program
                    yield Digest.parse(file.name.replace("-", ":", 1))

    def remove_aside(self, digest: Digest) -> None:
        """Remove a file that was set aside. A missing file is no error. Blocks."""
        with storage_faults(f"remove damaged {digest}"):
            self._filesystem.remove(self._layout.set_aside(digest))


class _FileReading:
    """A file that is read to its end, in pieces. All calls block.

    Attributes:
        position: number of bytes read so far.
        has_ended: True after the last piece. The file is closed then.
    """

    def __init__(self, digest: Digest, descriptor: int, filesystem: Filesystem) -> None:
        self.position = 0
        self.has_ended = False
        self._digest = digest
        self._descriptor = descriptor
        self._filesystem = filesystem
        self._hasher = new_hasher(digest.algorithm)
        self._found = os.fstat(descriptor)
        self._lost = ""
        # Out of the page cache, so that the bytes come from the disk.
        filesystem.let_go(descriptor, self._found.st_size)

    @property
    def result(self) -> ExaminedFile:
        """The result, after the end."""
        # Not the time of the last change of the inode: a hard link changes it too.
        identity = self._found.st_ino, self._found.st_mtime_ns
        if self._lost:
            return ExaminedFile(self._found.st_size, self._lost, identity)
        is_whole = self._hasher.hexdigest() == self._digest.hex
        return ExaminedFile(self.position, "" if is_whole else "the bytes have another digest", identity)

    def step(self) -> int:
        """Read the next piece, and return its size in bytes."""
        try:
            piece = os.pread(self._descriptor, _PIECE_BYTES, self.position)
        except OSError as error:
            if error.errno not in _LOST_BYTES:
                raise
            self._lost = f"byte {self.position} cannot be read: {error.strerror or error}"
            piece = b""
        self._hasher.update(piece)
        self.position += len(piece)
        if len(piece) < _PIECE_BYTES:
            self.has_ended = True
            # Out of the page cache again: clients need the memory more.
            self._filesystem.let_go(self._descriptor, self.position)
            self.close()
        return len(piece)

    def close(self) -> None:
        """Close the file. Does nothing if called again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _close(reading: _FileReading | None) -> None:
    if reading is not None:
        reading.close()
