"""A blob that is read while it is downloaded: its progress, and a view for each reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import IO, Final

from mirror.oci.errors import MirrorError
from mirror.transfer.partial_store import PartialBlob
from mirror.wire.ranges import Span

#: The end of a blob that no reader is given before the whole is verified.
HELD_BACK_BYTES: Final = 64 * 1024
_CHUNK_BYTES = 1024 * 1024


class DownloadProgress:
    """The progress of a download, on which readers wait.

    Args:
        size_bytes: size of the whole blob.

    Attributes:
        partial: the bytes that have come; None as long as none can be read.
    """

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.partial: PartialBlob | None = None
        self._readable_bytes = 0
        self._is_verified = False
        self._error: MirrorError | None = None
        self._changed = asyncio.Event()

    @property
    def is_verified(self) -> bool:
        """Whether the whole blob has come and is verified."""
        return self._is_verified

    @property
    def has_failed(self) -> bool:
        """Whether the download has failed."""
        return self._error is not None and not self._is_verified

    def open(self, partial: PartialBlob) -> None:
        """Let readers read what has come."""
        self.partial = partial
        self.update()

    def update(self) -> None:
        """Note that more may have come."""
        if self.partial is not None and not self._is_verified:
            self._readable_bytes = max(min(self.partial.size_bytes, self.size_bytes - HELD_BACK_BYTES), 0)
            self._notify()

    def complete(self) -> None:
        """Note that the whole blob has come and is verified."""
        self._is_verified = True
        self._readable_bytes = self.size_bytes
        self._notify()

    def fail(self, error: MirrorError) -> None:
        """Note that the download has failed. A blob that is verified stays so."""
        self._error = error
        self._notify()

    async def wait_until_readable(self) -> None:
        """Wait until something can be read.

        Raises:
            MirrorError: the download failed before.
        """
        while self.has_failed or (not self._is_verified and not self._readable_bytes):
            await self._wait_for_change()

    async def available(self, position: int) -> int:
        """Wait until something can be read from ``position`` on, which lies before the end.

        Returns:
            The position up to which can be read for now.

        Raises:
            MirrorError: the download failed.
        """
        while self.has_failed or self._readable_bytes <= position:
            await self._wait_for_change()
        return self._readable_bytes

    async def _wait_for_change(self) -> None:
        error = self._error
        if error is not None:
            raise type(error)(error.message, **error.detail) from error  # each reader gets an error of its own
        await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class GrowingBlob:
    """One reader's view. Implements :class:`mirror.registry.port.Growing`."""

    file: IO[bytes] | None = None

    def __init__(self, progress: DownloadProgress, partial: PartialBlob, span: Span) -> None:
        self.size_bytes = progress.size_bytes
        self.span = span
        self._progress = progress
        self._partial = partial

    @property
    def growing_file(self) -> IO[bytes]:
        """The file that the blob is downloaded to."""
        return self._partial.file

    async def available(self, position: int) -> int:
        """As :meth:`DownloadProgress.available`."""
        return await self._progress.available(position)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        position = self.span.start
        while position < self.span.stop:
            available = await self.available(position)
            stop = min(available, self.span.stop, position + _CHUNK_BYTES)
            yield await self._partial.read(position, stop)
            position = stop
