"""Progress of a download, and a view for each client reading the blob while the download runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import IO, Final

from mirror.oci.errors import MirrorError
from mirror.transfer.partial_store import PartialBlob
from mirror.wire.ranges import Span

#: Bytes at the end of a blob withheld from readers until the digest is verified. A client cannot have received all of a
#: wrong blob: an engine stays broken by a whole wrong blob until somebody removes it by hand (ADR 10).
HELD_BACK_BYTES: Final = 64 * 1024
_CHUNK_BYTES = 1024 * 1024


class DownloadProgress:
    """Progress of a download. Readers wait on it.

    Args:
        size_bytes: size of the whole blob in bytes.

    Attributes:
        partial: bytes received so far. None until a reader may begin.
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
        """True if the whole blob was received and its digest verified."""
        return self._is_verified

    @property
    def has_failed(self) -> bool:
        """True if the download failed before the blob was verified."""
        return self._error is not None and not self._is_verified

    def open(self, partial: PartialBlob) -> None:
        """Let readers read the bytes received so far."""
        self.partial = partial
        self.update()

    def update(self) -> None:
        """Make newly received bytes readable, up to the end held back."""
        if self.partial is not None and not self._is_verified:
            self._readable_bytes = max(min(self.partial.size_bytes, self.size_bytes - HELD_BACK_BYTES), 0)
            self._notify()

    def complete(self) -> None:
        """Record the whole blob as received and verified."""
        self._is_verified = True
        self._readable_bytes = self.size_bytes
        self._notify()

    def fail(self, error: MirrorError) -> None:
        """Record a failure of the download. A verified blob stays verified."""
        self._error = error
        self._notify()

    async def wait_until_readable(self) -> None:
        """Wait until some bytes can be read.

        Raises:
            MirrorError: the download failed first.
        """
        while self.has_failed or (not self._is_verified and not self._readable_bytes):
            await self._wait_for_change()

    async def available(self, position: int) -> int:
        """Wait until bytes from ``position`` on can be read. ``position`` lies before the end of the blob.

        Returns:
            Position up to which bytes can currently be read.

        Raises:
            MirrorError: the download failed.
        """
        while self.has_failed or self._readable_bytes <= position:
            await self._wait_for_change()
        return self._readable_bytes

    async def _wait_for_change(self) -> None:
        error = self._error
        if error is not None:
            # A new error for each reader, because raising one object several times would mix the tracebacks.
            raise type(error)(error.message, **error.detail) from error
        await self._changed.wait()

    def _notify(self) -> None:
        # A new event instead of clear(): waiters of the old one wake up, and later waiters wait for the next change.
        self._changed.set()
        self._changed = asyncio.Event()


class GrowingBlob:
    """View of one reader on a blob under download. Implements :class:`mirror.registry.port.Growing`."""

    # The file does not hold the whole blob yet, which ``Blob.file`` promises.
    file: IO[bytes] | None = None

    def __init__(self, progress: DownloadProgress, partial: PartialBlob, span: Span) -> None:
        self.size_bytes = progress.size_bytes
        self.span = span
        self._progress = progress
        self._partial = partial

    @property
    def growing_file(self) -> IO[bytes]:
        """File the blob is downloaded to."""
        return self._partial.file

    async def available(self, position: int) -> int:
        """Wait for readable bytes. See :meth:`DownloadProgress.available`."""
        return await self._progress.available(position)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        position = self.span.start
        while position < self.span.stop:
            available = await self.available(position)
            stop = min(available, self.span.stop, position + _CHUNK_BYTES)
            yield await self._partial.read(position, stop)
            position = stop
