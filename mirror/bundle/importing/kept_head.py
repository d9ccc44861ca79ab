"""A bundle in parts whose beginning is read from another file."""

from __future__ import annotations

from collections.abc import AsyncIterator

from mirror.bundle.format.byte_source import ByteSource


class KeptHead:
    """Bytes of a bundle, of which the first ones are read from a kept copy.

    Implements :class:`mirror.bundle.format.byte_source.ByteSource`. The copy is verified like any bytes of a bundle.

    Args:
        head: the copy of the first bytes.
        rest: the bundle, whose first part may be missing.
    """

    def __init__(self, head: ByteSource, rest: ByteSource) -> None:
        self._head = head
        self._rest = rest
        self.name = rest.name
        self.size_bytes = rest.size_bytes

    async def chunks(self, start_bytes: int, size_bytes: int) -> AsyncIterator[bytes]:
        from_head = self._from_head(start_bytes, size_bytes)
        if from_head:
            async for chunk in self._head.chunks(start_bytes, from_head):
                yield chunk
        if from_head < size_bytes:
            async for chunk in self._rest.chunks(start_bytes + from_head, size_bytes - from_head):
                yield chunk

    def missing(self, start_bytes: int, size_bytes: int) -> tuple[str, ...]:
        from_head = self._from_head(start_bytes, size_bytes)
        if from_head == size_bytes:
            return ()
        return self._rest.missing(start_bytes + from_head, size_bytes - from_head)

    async def damage(self, start_bytes: int, size_bytes: int) -> str:
        return await self._rest.damage(start_bytes, size_bytes)

    def _from_head(self, start_bytes: int, size_bytes: int) -> int:
        return min(max(self._head.size_bytes - start_bytes, 0), size_bytes)
