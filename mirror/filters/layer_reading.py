"""Reading layers of a registry, each once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.names import Repository
from mirror.plugin.layer import LayerReader
from mirror.plugin.layer_facts import LayerFacts
from mirror.registry.port import Blob, Reader

#: Compressed bytes that one hop into a thread takes along, at least.
_HOP_BYTES: Final = 1024 * 1024
#: Layers read at the same time. Each keeps a processor busy, and threads must be left for the registry behind.
_AT_ONCE: Final = 2
#: Layers whose facts are kept, so that another tag or name does not read them again.
_MOST_KEPT: Final = 1024


class LayerReading:
    """Tells facts of layers.

    Args:
        registry: where they are read.
    """

    def __init__(self, registry: Reader) -> None:
        self._registry = registry
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._kept: OrderedDict[Digest, LayerFacts] = OrderedDict()

    async def facts(self, repository: Repository, digest: Digest) -> LayerFacts:
        """What there is to know of a layer. Takes about as long as ``gunzip | sha256sum``, the first time.

        Raises:
            BlobUnknown: the repository does not hold it. And whatever the registry raises while it is read.
        """
        async with self._gate, self._registry.open_blob(repository, digest) as blob:
            facts = self._kept.get(digest)
            if facts is None:
                facts = self._kept[digest] = await _read(blob)
            self._kept.move_to_end(digest)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return facts


async def _read(blob: Blob) -> LayerFacts:
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
