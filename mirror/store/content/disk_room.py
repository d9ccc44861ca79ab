"""Space on the disk of a data folder: the part that new content must leave free, and the part promised to uploads.

Content whose size is known is refused before its first byte. Content of unknown size is refused at the chunk that would
use the part to be left free. This part stays for the catalog, for manifests and for deletions. Promises are known to
one process only: uploads of several processes at the same moment may be accepted together, and end at a later chunk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

from mirror.oci.byte_sizes import shown_size
from mirror.oci.errors import DoesNotFit, StorageFull
from mirror.store.content.kept_free import KeptFree
from mirror.store.storage_errors import storage_faults

#: Files and folders that one upload needs until it is stored.
_INODES_OF_AN_UPLOAD: Final = 3
#: Largest share of all inodes of a disk that is left free, so that a tiny disk can be used too.
_LARGEST_SHARE_OF_INODES: Final = 1 / 10
#: Space above the part to be left free in which room is made before content is refused: a part of the disk, at most
#: this many bytes.
_MARGIN_SHARE: Final = 1 / 50
_LARGEST_MARGIN_BYTES: Final = 1024**3


class GrowingFile(Protocol):
    """A file that is being written.

    Attributes:
        size_bytes: number of bytes written.
    """

    size_bytes: int


class DiskRoom:
    """Free space on the disk of a data folder.

    Args:
        folder: the data folder.
        kept: the part to leave free.
        measure: returns the figures of the disk.

    Attributes:
        kept: the part to leave free.
    """

    def __init__(
        self,
        folder: Path,
        kept: KeptFree,
        measure: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self._folder = folder
        self.kept = kept
        self._measure = measure
        self._lock = Lock()
        self._promised: dict[GrowingFile, int] = {}

    def require(self, size_bytes: int = 0, writer: GrowingFile | None = None) -> None:
        """Check that new content fits.

        Args:
            size_bytes: size of the content.
            writer: the file that gets the content. Space promised to it counts as free.

        Raises:
            DoesNotFit: the content is larger than the space for it.
            StorageFull: fewer bytes or inodes than must be are left already.
            StorageFault: the disk cannot be measured.
        """
        with self._lock:
            self._require(size_bytes, writer)

    def missing_bytes(self, size_bytes: int | None = None) -> int:
        """Return the number of bytes that must be freed before new content fits; 0 if it fits.

        Args:
            size_bytes: size of the content; None for a margin above the part to be left free.

        Returns:
            At least 1 if too few inodes are free.

        Raises:
            StorageFault: the disk cannot be measured.
        """
        with self._lock, storage_faults("measure the disk"):
            found = self._measure(self._folder)
            wanted_bytes = _margin_bytes(found) if size_bytes is None else size_bytes
            missing_bytes = self.kept.size_bytes + self._promised_bytes(None) + wanted_bytes - _free_bytes(found)
        return max(missing_bytes, 1 if self._lacks_inodes(found) else 0)

    @contextmanager
    def promised(self, writer: GrowingFile, whole_bytes: int) -> Iterator[None]:
        """Keep space inside the block for a file that grows to ``whole_bytes`` bytes. Raises as :meth:`require`."""
        self.promise(writer, whole_bytes)
        try:
            yield
        finally:
            self.end(writer)

    def promise(self, writer: GrowingFile, whole_bytes: int) -> None:
        """Keep space for a file until :meth:`end`. Arguments and errors are those of :meth:`promised`."""
        with self._lock:
            self._require(max(whole_bytes - writer.size_bytes, 0), writer)
            self._promised[writer] = whole_bytes

    def end(self, writer: GrowingFile) -> None:
        """End the promise to a file, if there is one."""
        with self._lock:
            self._promised.pop(writer, None)

    def _require(self, size_bytes: int, writer: GrowingFile | None) -> None:
        with storage_faults("measure the disk"):
            found = self._measure(self._folder)
        free_bytes, promised_bytes = _free_bytes(found), self._promised_bytes(writer)
        if free_bytes - promised_bytes - size_bytes < self.kept.size_bytes:
            raise self._too_large(size_bytes, free_bytes, promised_bytes)
        if self._lacks_inodes(found):
            raise StorageFull(
                f"{found.f_favail} of {found.f_files} inodes (files and folders) are free on the disk of the data "
                f"folder, and {self._kept_inodes(found)} are kept free (storage.least_free_inodes); fix: delete files "
                "on this disk, or use a filesystem with more inodes",
                free_inodes=found.f_favail,
            )

    def _promised_bytes(self, writer: GrowingFile | None) -> int:
        # Written bytes are no longer free, so only the missing bytes of the promises count.
        return sum(
            max(whole_bytes - each.size_bytes, 0) for each, whole_bytes in self._promised.items() if each is not writer
        )

    def _lacks_inodes(self, found: os.statvfs_result) -> bool:
        # Some filesystems, such as btrfs, have no fixed number of inodes and report 0 for all figures.
        return bool(found.f_files) and found.f_favail - _INODES_OF_AN_UPLOAD < self._kept_inodes(found)

    def _kept_inodes(self, found: os.statvfs_result) -> int:
        return min(self.kept.inodes, int(found.f_files * _LARGEST_SHARE_OF_INODES))

    def _too_large(self, size_bytes: int, free_bytes: int, promised_bytes: int) -> StorageFull:
        # Below the limit, nothing fits any more, whatever its size.
        kind = DoesNotFit if free_bytes - promised_bytes >= self.kept.size_bytes else StorageFull
        wanted = f"{shown_size(size_bytes)} do not fit: " if size_bytes else ""
        promised = f", {shown_size(promised_bytes)} of them for other uploads" if promised_bytes else ""
        return kind(
            f"{wanted}{shown_size(free_bytes)} are free on the disk of the data folder{promised}, and "
            f"{shown_size(self.kept.size_bytes)} are kept free (storage.least_free_bytes); fix: free some space, or "
            "lower storage.least_free_bytes",
            free_bytes=free_bytes,
            wanted_bytes=size_bytes,
            promised_bytes=promised_bytes,
        )


def _free_bytes(found: os.statvfs_result) -> int:
    return found.f_bavail * found.f_frsize


def _margin_bytes(found: os.statvfs_result) -> int:
    return min(int(found.f_blocks * found.f_frsize * _MARGIN_SHARE), _LARGEST_MARGIN_BYTES)
