"""A plugin's layer, read out of an open blob: bytes in, decisions in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from mirror.plugin.entry import EntryWatcher
from mirror.plugin.layer import LayerReader
from mirror.plugin.layer_facts import LayerFacts
from mirror.registry.port import Blob

#: Compressed bytes that one hop into a thread takes along, at least.
_HOP_BYTES: Final = 1024 * 1024


async def read_layer(
    blob: Blob, watcher: EntryWatcher | None = None, advance: Callable[[int], None] | None = None
) -> LayerFacts:
    """Read a layer to its end, or as far as it can be. Takes about as long as ``gunzip | sha256sum``.

    Args:
        blob: the layer, open.
        watcher: told of what is in it, from a thread, one call at a time.
        advance: told how many bytes have come.

    Raises:
        Whatever the blob raises while it is read.
    """
    reader = LayerReader(blob.size_bytes, watcher=watcher)
    gathered = bytearray()
    chunks = aiter(blob)
    try:
        async for chunk in chunks:
            gathered += chunk
            if advance is not None:
                advance(len(chunk))
            if len(gathered) >= _HOP_BYTES:
                await asyncio.to_thread(reader.feed, bytes(gathered))
                gathered.clear()
            if reader.settled:
                break
        await asyncio.to_thread(reader.feed, bytes(gathered))
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    return reader.finish()
