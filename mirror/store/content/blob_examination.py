"""Examination of the files of blobs: what is wrong with a file, and damaged files set aside."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror.oci import Digest
from mirror.oci.digest import Hasher, new_hasher
from mirror.oci.errors import DigestInvalid
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.storage_errors import storage_faults
from mirror.store.storage_threads import in_thread

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
        descriptor = await in_thread(f"open {digest}", self._open, digest)
        if descriptor is None:
            return ExaminedFile(0, "the file is missing", None)
        try:
            return await self._examine(digest, descriptor, read)
        finally:
            # Out of the page cache again: clients need the memory more.
            await in_thread(f"close {digest}", self._close, descriptor)

    async def _examine(self, digest: Digest, descriptor: int, read: Callable[[int], Awaitable[None]]) -> ExaminedFile:
        found = os.fstat(descriptor)
        identity, hasher, position = _identity(found), new_hasher(digest.algorithm), 0
        while True:
            piece = await in_thread(f"read {digest}", _read, descriptor, position, hasher)
            if isinstance(piece, str):
                return ExaminedFile(found.st_size, f"byte {position} cannot be read: {piece}", identity)
            position += piece
            await read(piece)
            if piece < _PIECE_BYTES:
                break
        problem = "" if hasher.hexdigest() == digest.hex else "the bytes have another digest"
        return ExaminedFile(position, problem, identity)

    def _open(self, digest: Digest) -> int | None:
        with suppress(FileNotFoundError):
            descriptor = os.open(self._layout.blob(digest), os.O_RDONLY | os.O_CLOEXEC)
            # Out of the page cache, so that the bytes come from the disk.
            self._let_go(descriptor)
            return descriptor
        return None

    def _close(self, descriptor: int) -> None:
        self._let_go(descriptor)
        os.close(descriptor)

    def _let_go(self, descriptor: int) -> None:
        self._filesystem.let_go(descriptor, os.fstat(descriptor).st_size)

    def set_aside(self, digest: Digest, examined: ExaminedFile) -> bool:
        """Move a damaged file to the folder ``damaged``. Blocks; only inside :meth:`Catalog.write`.

        Returns:
            False if the file is no longer the one that was examined. Nothing is moved then.
        """
        blob, aside = self._layout.blob(digest), self._layout.set_aside(digest)
        with storage_faults(f"set {digest} aside"):
            try:
                present = _identity(blob.stat())
            except FileNotFoundError:
                return examined.identity is None
            if present != examined.identity:
                return False
            self._filesystem.rename(blob, aside)
        self._unsynced |= {blob.parent, aside.parent}
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


def _read(descriptor: int, position: int, hasher: Hasher) -> int | str:
    """Read the next piece into a hash. Return its size in bytes, or the reason for which the disk has lost it."""
    try:
        piece = os.pread(descriptor, _PIECE_BYTES, position)
    except OSError as error:
        if error.errno not in _LOST_BYTES:
            raise
        return error.strerror or str(error)
    hasher.update(piece)
    return len(piece)


def _identity(found: os.stat_result) -> _Identity:
    # Not the time of the last change of the inode: a hard link changes it too.
    return found.st_ino, found.st_mtime_ns
