"""Reading a plugin layer from an asynchronous stream. The caller decides how the blocking steps are run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator
from typing import Final

from mirror.plugin.rootfs.entry import EntryWatcher
from mirror.plugin.rootfs.layer import LayerReader
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.plugin.rootfs.layer_limits import LayerLimits

#: Bytes of a layer that are gathered before they are processed in one go: each go is a hop into a thread.
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
    """Read a layer to its end or to its first problem. Takes about as long as ``gunzip | sha256sum``.

    The stream is closed at the end, also on cancellation, if it is an asynchronous generator.

    Args:
        content: bytes of the layer.
        size_bytes: size of the layer.
        limits: limits beyond which reading ends.
        watcher: receives the entries of the layer, in the thread that runs the steps.
        make: runs the blocking steps of :meth:`mirror.plugin.rootfs.layer.LayerReader.steps` for the bytes received so
            far.
        advance: called with the number of bytes of each chunk.

    Returns:
        The facts of the layer.

    Raises:
        Exception: whatever reading the content raises.
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
            # The result is final, so the rest of the layer is not downloaded.
            if reader.settled:
                break
        await make(reader.steps(bytes(gathered), last=True))
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    return reader.finish()
