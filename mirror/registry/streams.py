"""Streams whose size and digest are verified or counted."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import TypeAlias

from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.oci.errors import MirrorError

#: Makes the error for content of another size or digest; its class says whose fault that is.
MismatchError: TypeAlias = Callable[..., MirrorError]


async def verify_chunks(
    chunks: AsyncIterable[bytes], digest: Digest, size_bytes: int, mismatch: MismatchError
) -> AsyncIterator[bytes]:
    """Pass chunks on, the last of them only when the whole has the right size and digest.

    Args:
        chunks: the content, from its first byte.
        digest: what it must hash to.
        size_bytes: how many bytes there must be.
        mismatch: makes the error to raise where it does not; nothing beyond ``size_bytes`` is passed on.
    """
    hasher = new_hasher(digest.algorithm)
    seen = 0
    held = b""
    async for chunk in chunks:
        seen += len(chunk)
        if seen > size_bytes:
            raise mismatch(f"{digest} is longer than its {size_bytes} bytes", digest=digest, size_bytes=size_bytes)
        hasher.update(chunk)
        if held:
            yield held
        held = chunk
    if seen < size_bytes:
        raise mismatch(
            f"{digest} ends after {seen} of {size_bytes} bytes", digest=digest, size_bytes=size_bytes, received=seen
        )
    if hasher.hexdigest() != digest.hex:
        raise mismatch(
            f"content of {digest} has digest {digest.algorithm}:{hasher.hexdigest()}",
            digest=digest,
            actual=f"{digest.algorithm}:{hasher.hexdigest()}",
        )
    if held:
        yield held


async def count_chunks(chunks: AsyncIterable[bytes], count: Callable[[int], None]) -> AsyncIterator[bytes]:
    """Pass chunks on and tell ``count`` the length of each."""
    async for chunk in chunks:
        count(len(chunk))
        yield chunk


async def single_chunk(content: bytes) -> AsyncIterator[bytes]:
    """Some bytes as a stream of one chunk, or of none where they are empty."""
    if content:
        yield content
