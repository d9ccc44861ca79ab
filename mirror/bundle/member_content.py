"""Content of one member of a bundle, read from the file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import IO

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bundle_layout import PlacedMember
from mirror.bundle.format.byte_source import ByteSource
from mirror.oci.errors import StorageDamaged
from mirror.registry.streams import closing_stream, verify_chunks
from mirror.wire.ranges import Span


class MemberContent:
    """A member that is read. Implements :class:`mirror.registry.port.Blob` and ``Unverified``.

    A whole member is read with its header and padding, which must be as computed. So a reader of all members has seen
    each byte of the bundle.

    Args:
        source: the bundle.
        placed: place of the member.
        span: part of the content; None for the whole.

    Attributes:
        start_bytes: offset of the member in the bundle.
    """

    file: IO[bytes] | None = None

    def __init__(self, source: ByteSource, placed: PlacedMember, span: Span | None = None) -> None:
        self.start_bytes = placed.start_bytes
        self.size_bytes = placed.member.size_bytes
        self.span = Span(0, self.size_bytes) if span is None else span
        self._source = source
        self._placed = placed

    def __aiter__(self) -> AsyncIterator[bytes]:
        # A digest covers the whole, so a part cannot be verified.
        return self.verified() if self._is_whole else self._part()

    def unverified(self) -> AsyncIterator[bytes]:
        """Iterate over the span without its digest. Header and padding of a whole member are compared."""
        return self._whole() if self._is_whole else self._part()

    async def verified(self) -> AsyncIterator[bytes]:
        """Iterate over the whole content. The last chunk follows after the digest was verified.

        Raises:
            BundleInvalid: header, content or padding differ from the statement.
            BundleIncomplete: a part with bytes of the member is missing.
            StorageFault: the file cannot be read.
        """
        chunks = verify_chunks(self._whole(), self._placed.member.digest, self.size_bytes, StorageDamaged)
        try:
            async with closing_stream(chunks):
                async for chunk in chunks:
                    yield chunk
        except StorageDamaged as error:
            raise await self.wrong_content() from error

    async def wrong_content(self) -> BundleInvalid:
        """Return the error for a member whose bytes are wrong. Parts are compared with their table."""
        placed, path = self._placed, self._placed.member.path
        where = await self._source.damage(placed.start_bytes, placed.end_bytes - placed.start_bytes)
        return BundleInvalid(
            f"{path} in {self._source.name} is damaged: {where}",
            path=path,
            start_bytes=placed.start_bytes,
            end_bytes=placed.end_bytes,
        )

    @property
    def _is_whole(self) -> bool:
        return self.span == Span(0, self.size_bytes)

    async def _part(self) -> AsyncIterator[bytes]:
        chunks = self._source.chunks(self._placed.content_bytes + self.span.start, self.span.size_bytes)
        async with closing_stream(chunks):
            async for chunk in chunks:
                yield chunk

    async def _whole(self) -> AsyncIterator[bytes]:
        placed = self._placed
        begin, end = len(placed.header), len(placed.header) + self.size_bytes
        around, position = b"", 0
        chunks = self._source.chunks(placed.start_bytes, placed.end_bytes - placed.start_bytes)
        async with closing_stream(chunks):
            async for chunk in chunks:
                from_content, from_padding = max(begin - position, 0), max(end - position, 0)
                around += chunk[:from_content] + chunk[from_padding:]
                position += len(chunk)
                if content := chunk[from_content:from_padding]:
                    yield content
        if around != placed.header + placed.padding:
            raise await self.wrong_content()
