"""Reading layers of a registry, each once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.names import Repository
from mirror.plugin.layer_facts import LayerFacts
from mirror.registry.layer_reading import read_layer
from mirror.registry.port import Reader

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
                facts = self._kept[digest] = await read_layer(blob)
            self._kept.move_to_end(digest)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return facts
