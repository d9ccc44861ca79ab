"""The bytes of a bundle that was exported earlier: its recorded head, and the content that it was made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

from mirror.bundle.bundle_errors import BundleIncomplete
from mirror.bundle.format.bundle_layout import BundleLayout, PlacedMember
from mirror.bundle.format.byte_source import HOP_BYTES, require_range
from mirror.bundle.format.member_header import END
from mirror.oci import Digest, Repository
from mirror.oci.errors import BlobUnknown
from mirror.registry.port import Reader


class RecordedSource:
    """A bundle that is made again, in any range. Implements :class:`mirror.bundle.format.byte_source.ByteSource`.

    Args:
        name: name in messages.
        head: the bytes before the first blob.
        layout: the place of each member.
        registry: registry that holds the content.
        holders: a repository with each manifest and blob.
    """

    def __init__(
        self, name: str, head: bytes, layout: BundleLayout, registry: Reader, holders: Mapping[Digest, Repository]
    ) -> None:
        self.name = name
        self.size_bytes = layout.size_bytes
        self._head = head
        self._blobs = layout.blobs()
        self._registry = registry
        self._holders = holders

    async def chunks(self, start_bytes: int, size_bytes: int) -> AsyncIterator[bytes]:
        require_range(self, start_bytes, size_bytes)
        end = start_bytes + size_bytes
        async with aclosing(self._pieces(start_bytes, end)) as pieces:
            async for offset, piece in pieces:
                wanted = memoryview(piece)[max(start_bytes - offset, 0) : max(end - offset, 0)]
                for first in range(0, len(wanted), HOP_BYTES):
                    yield bytes(wanted[first : first + HOP_BYTES])

    def missing(self, start_bytes: int, size_bytes: int) -> tuple[str, ...]:
        return tuple(
            f"{placed.member.digest} is no longer here"
            for placed in self._overlapping(start_bytes, start_bytes + size_bytes)
            if placed.member.digest not in self._holders
        )

    async def damage(self, start_bytes: int, size_bytes: int) -> str:
        return f"the content of bytes {start_bytes} to {start_bytes + size_bytes - 1} is damaged here"

    async def _pieces(self, start: int, end: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Iterate over the members that overlap a range, as offsets and bytes. Content is verified as a whole."""
        if start < len(self._head):
            yield 0, self._head
        for placed in self._overlapping(start, end):
            yield placed.start_bytes, placed.header
            offset = placed.content_bytes
            async with aclosing(self._content(placed)) as content:
                async for chunk in content:
                    yield offset, chunk
                    offset += len(chunk)
            yield offset, placed.padding
        yield self.size_bytes - len(END), END

    def _overlapping(self, start: int, end: int) -> list[PlacedMember]:
        return [placed for placed in self._blobs if placed.start_bytes < end and placed.end_bytes > start]

    async def _content(self, placed: PlacedMember) -> AsyncGenerator[bytes, None]:
        digest = placed.member.digest
        repository = self._holders.get(digest)
        if repository is None:
            raise BundleIncomplete(f"{self.name} cannot be made again: {digest} is no longer here", digest=digest)
        try:
            async with self._registry.open_blob(repository, digest) as blob:
                async for chunk in blob:
                    yield chunk
        except BlobUnknown:
            yield (await self._registry.get_manifest(repository, digest)).content
