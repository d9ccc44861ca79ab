"""The body of a request is sent in small pieces, so that a slow line passes each one within the read timeout."""

from __future__ import annotations

from collections.abc import AsyncIterator

from mirror.upstream.http.request_body import PIECE_BYTES, RequestBody


async def test_a_large_chunk_is_sent_in_pieces_that_a_slow_line_passes_in_time() -> None:
    chunks = [bytes(range(256)) * 4096, b"", b"end"]

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    data = RequestBody(stream(), timeout_seconds=60).data
    assert isinstance(data, AsyncIterator)
    pieces = [piece async for piece in data]
    assert b"".join(pieces) == b"".join(chunks)
    assert max(map(len, pieces)) == PIECE_BYTES
