"""A plugin's layer, read out of an open blob: bytes in, decisions in a thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Final

from mirror.plugin.entry import EntryWatcher
from mirror.plugin.layer import LayerReader
from mirror.plugin.layer_facts import LayerFacts
from mirror.plugin.layer_limits import LayerLimits
from mirror.registry.port import Blob

#: Bytes of a layer that are gathered before they are read on.
_GATHERED_BYTES: Final = 1024 * 1024


async def in_one_go(steps: Iterator[int]) -> None:
    """Make steps in one thread, for whoever need not share it."""
    await asyncio.to_thread(deque, steps, maxlen=0)


async def read_layer(
    blob: Blob,
    limits: LayerLimits,
    watcher: EntryWatcher | None = None,
    advance: Callable[[int], None] | None = None,
    make: Callable[[Iterator[int]], Awaitable[None]] = in_one_go,
) -> LayerFacts:
    """Read a layer to its end, or as far as it can be. Takes about as long as ``gunzip | sha256sum``.

    Args:
        blob: the layer, open.
        limits: beyond which it is not read.
        watcher: told of what is in it, from a thread, one call at a time.
        advance: told how many bytes have come.
        make: makes the steps of :meth:`mirror.plugin.layer.LayerReader.steps`, which block, for bytes that have come.

    Raises:
        Whatever the blob raises while it is read.
    """
    reader = LayerReader(blob.size_bytes, limits, watcher)
    gathered = bytearray()
    chunks = aiter(blob)
    try:
        async for chunk in chunks:
            gathered += chunk
            if advance is not None:
                advance(len(chunk))
            if len(gathered) >= _GATHERED_BYTES:
                await make(reader.steps(bytes(gathered)))
                gathered.clear()
            if reader.settled:
                break
        await make(reader.steps(bytes(gathered), last=True))
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    return reader.finish()
