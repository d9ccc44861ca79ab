"""Streams of bytes whose size and digest are verified or counted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.oci.errors import MirrorError

#: Makes the error for content of the wrong size or digest. Its class names the party at fault.
MismatchError: TypeAlias = Callable[..., MirrorError]


async def verify_chunks(
    chunks: AsyncIterable[bytes], digest: Digest, size_bytes: int, mismatch: MismatchError
) -> AsyncIterator[bytes]:
    """Pass chunks on, and hold the last chunk back until the size and digest of the whole are verified.

    Args:
        chunks: the content, from its first byte.
        digest: the expected digest.
        size_bytes: the expected size.
        mismatch: makes the error raised for another size or digest. Bytes beyond ``size_bytes`` are never passed on.

    Raises:
        MirrorError: the error from ``mismatch``.
    """
    hasher = new_hasher(digest.algorithm)
    seen = 0
    held = b""
    async for chunk in chunks:
        seen += len(chunk)
        if seen > size_bytes:  # checked at each chunk: the stream may be endless
            raise mismatch(f"{digest} is longer than its {size_bytes} bytes", digest=digest, size_bytes=size_bytes)
        hasher.update(chunk)
        if held:
            yield held
        held = chunk
    if seen < size_bytes:
        raise mismatch(
            f"{digest} ends after {seen} of {size_bytes} bytes", digest=digest, size_bytes=size_bytes, received=seen
        )
    # The last chunk is still held back here: an engine keeps a wrong blob once it has received all of it.
    if hasher.hexdigest() != digest.hex:
        raise mismatch(
            f"content of {digest} has digest {digest.algorithm}:{hasher.hexdigest()}",
            digest=digest,
            actual=f"{digest.algorithm}:{hasher.hexdigest()}",
        )
    if held:
        yield held


async def count_chunks(chunks: AsyncIterable[bytes], count: Callable[[int], None]) -> AsyncIterator[bytes]:
    """Pass chunks on and call ``count`` with the length of each."""
    async for chunk in chunks:
        count(len(chunk))
        yield chunk


async def single_chunk(content: bytes) -> AsyncIterator[bytes]:
    """Yield the content as one chunk; yield nothing if the content is empty."""
    if content:
        yield content


@asynccontextmanager
async def closing_stream(chunks: AsyncIterable[bytes]) -> AsyncIterator[None]:
    """Close a stream at the end of the block, if the stream is a generator."""
    try:
        yield
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
