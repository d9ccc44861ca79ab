"""A plugin's layer, read as its bytes arrive: the caller says how the steps are made, which block."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator
from typing import Final

from mirror.plugin.rootfs.entry import EntryWatcher
from mirror.plugin.rootfs.layer import LayerReader
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.plugin.rootfs.layer_limits import LayerLimits

#: Bytes of a layer that are gathered before they are read on.
_GATHERED_BYTES: Final = 1024 * 1024


async def read_layer(
    content: AsyncIterable[bytes],
    size_bytes: int,
    limits: LayerLimits,
    watcher: EntryWatcher | None = None,
    *,
    make: Callable[[Iterator[int]], Awaitable[None]],
    advance: Callable[[int], None] | None = None,
) -> LayerFacts:
    """Read a layer to its end, or as far as it can be. Takes about as long as ``gunzip | sha256sum``.

    Args:
        content: the layer's bytes; it is closed at the end where it is a generator.
        size_bytes: of the layer.
        limits: beyond which it is not read.
        watcher: told of what is in it, where the steps are made.
        make: makes the steps of :meth:`mirror.plugin.rootfs.layer.LayerReader.steps` for bytes that have come; they
            block.
        advance: told how many bytes have come.

    Raises:
        Whatever the content raises while it is read.
    """
    reader = LayerReader(size_bytes, limits, watcher)
    gathered = bytearray()
    chunks = aiter(content)
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
