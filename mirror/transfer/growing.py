"""A blob that is read while it comes: how far it is, and a view of it for each reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import IO, Final

from mirror.oci.errors import MirrorError
from mirror.transfer.spool import PartialBlob
from mirror.wire.ranges import Span

#: The end of a blob that no reader is given before the whole is known to be right.
HELD_BACK_BYTES: Final = 64 * 1024
_CHUNK_BYTES = 1024 * 1024


class Growth:
    """How far a blob has come.

    Args:
        size_bytes: of the whole.

    Attributes:
        partial: what has come; None as long as nothing can be read.
    """

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.partial: PartialBlob | None = None
        self._safe_bytes = 0
        self._is_right = False
        self._error: MirrorError | None = None
        self._changed = asyncio.Event()

    @property
    def is_right(self) -> bool:
        """Whether the whole is there, and is what it should be."""
        return self._is_right

    @property
    def has_failed(self) -> bool:
        """Whether no more of it will come."""
        return self._error is not None and not self._is_right

    def open(self, partial: PartialBlob) -> None:
        """Let it be read."""
        self.partial = partial
        self.grown()

    def grown(self) -> None:
        """More of it may be there."""
        if self.partial is not None and not self._is_right:
            self._safe_bytes = max(min(self.partial.size_bytes, self.size_bytes - HELD_BACK_BYTES), 0)
            self._tell()

    def complete(self) -> None:
        """The whole is there, and right."""
        self._is_right = True
        self._safe_bytes = self.size_bytes
        self._tell()

    def fail(self, error: MirrorError) -> None:
        """It ends here. What was right already stays so."""
        self._error = error
        self._tell()

    async def begun(self) -> None:
        """Wait until there is something to be read.

        Raises:
            MirrorError: it failed before.
        """
        while self.has_failed or (not self._is_right and not self._safe_bytes):
            await self._change()

    async def available(self, position: int) -> int:
        """Wait until there is something to be read from ``position`` on, which lies before the end.

        Returns:
            Where it ends for now.

        Raises:
            MirrorError: it failed.
        """
        while self.has_failed or self._safe_bytes <= position:
            await self._change()
        return self._safe_bytes

    async def _change(self) -> None:
        error = self._error
        if error is not None:
            raise type(error)(error.message, **error.detail) from error  # each reader has one of his own
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class GrowingBlob:
    """One reader's view. Implements :class:`mirror.registry.port.Growing`."""

    file: IO[bytes] | None = None

    def __init__(self, growth: Growth, partial: PartialBlob, span: Span) -> None:
        self.size_bytes = growth.size_bytes
        self.span = span
        self._growth = growth
        self._partial = partial

    @property
    def growing_file(self) -> IO[bytes]:
        """What has come of the whole."""
        return self._partial.file

    async def available(self, position: int) -> int:
        """As :meth:`Growth.available`."""
        return await self._growth.available(position)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        position = self.span.start
        while position < self.span.stop:
            available = await self.available(position)
            stop = min(available, self.span.stop, position + _CHUNK_BYTES)
            yield await self._partial.read(position, stop)
            position = stop
