"""Writing of one blob at its place in a bundle. Its bytes are hashed once, as they pass. All methods block."""

from __future__ import annotations

import os
from typing import Final

from mirror.bundle.export.output.bundle_output import BundleOutput
from mirror.bundle.format.bundle_layout import PlacedMember
from mirror.oci.digest import new_hasher
from mirror.oci.errors import StorageDamaged, StorageFault

#: Bytes read and written by one system call.
PIECE_BYTES: Final = 1024 * 1024


class PlacedWriting:
    """A blob that is being written.

    Args:
        output: the bundle.
        placed: the blob.

    Attributes:
        done_bytes: number of bytes of the content that are written.
    """

    def __init__(self, output: BundleOutput, placed: PlacedMember) -> None:
        self._output = output
        self._placed = placed
        self._hasher = new_hasher(placed.member.digest.algorithm)
        self._buffer = memoryview(bytearray(min(PIECE_BYTES, placed.member.size_bytes)))
        self.done_bytes = 0

    @property
    def left_bytes(self) -> int:
        """Number of bytes of the content that are not written."""
        return self._placed.member.size_bytes - self.done_bytes

    def append(self, content: bytes | memoryview) -> None:
        """Write the next bytes, and after the last ones what surrounds the content.

        Raises:
            StorageDamaged: the content is longer than the manifest says.
        """
        placed = self._placed
        if len(content) > self.left_bytes:
            raise StorageDamaged(f"{placed.member.digest} is longer than {placed.member.size_bytes} bytes")
        self._output.write(content, placed.content_bytes + self.done_bytes)
        self._hasher.update(content)
        self.done_bytes += len(content)
        if not self.left_bytes:
            self._output.write(placed.header, placed.start_bytes)
            self._output.write(placed.padding, placed.content_bytes + placed.member.size_bytes)

    def copy_from(self, descriptor: int, most_bytes: int) -> int:
        """Write the next bytes of a file that has the content from its start on. Return their number.

        Raises:
            StorageDamaged: the file is too short.
            StorageFault: the file cannot be read.
        """
        begun, stop = self.done_bytes, self.done_bytes + min(most_bytes, self.left_bytes)
        while self.done_bytes < stop:
            try:
                count = os.preadv(descriptor, [self._buffer[: stop - self.done_bytes]], self.done_bytes)
            except OSError as error:
                raise StorageFault(f"{self._placed.member.digest} cannot be read: {error.strerror}") from error
            if not count:
                raise StorageDamaged(f"the file of {self._placed.member.digest} ends at byte {self.done_bytes}")
            self.append(self._buffer[:count])
        self._output.begin_sync(self._placed.content_bytes + begun, stop - begun)
        return stop - begun

    def take_back(self, size_bytes: int) -> None:
        """Hash bytes that an interrupted export has written, in place of writing them."""
        while self.done_bytes < size_bytes:
            view = self._buffer[: size_bytes - self.done_bytes]
            count = self._output.read_into(view, self._placed.content_bytes + self.done_bytes)
            if not count:
                return
            self._hasher.update(view[:count])
            self.done_bytes += count

    def is_whole(self) -> bool:
        """Return True if the content has its size and digest."""
        return not self.left_bytes and self._hasher.hexdigest() == self._placed.member.digest.hex
