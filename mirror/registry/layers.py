"""Reading a layer to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from mirror.plugin.layer import LayerReader
from mirror.plugin.layer_facts import LayerFacts
from mirror.registry.port import Blob

#: Compressed bytes that one hop into a thread takes along, at least.
_HOP_BYTES: Final = 1024 * 1024


async def read_layer(blob: Blob) -> LayerFacts:
    """What there is to know of a layer. Takes about as long as ``gunzip | sha256sum``. Raises as reading it does."""
    reader = LayerReader(blob.size_bytes)
    gathered = bytearray()
    chunks = aiter(blob)
    try:
        async for chunk in chunks:
            gathered += chunk
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
