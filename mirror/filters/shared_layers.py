"""Reading layers, each once, for everything in a process that wants to know something of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from cachetools import LRUCache

from mirror.oci import Digest, Manifest, Repository
from mirror.oci.errors import BlobUnknown
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.rootfs.entry import EntryWatcher
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.plugin.rootfs.layer_limits import LayerLimits, PluginLayers
from mirror.plugin.rootfs.layer_stream import read_layer
from mirror.plugin.rootfs.platform import Platform
from mirror.plugin.rootfs.root_filesystem import platform_of
from mirror.plugin.rootfs.rootfs_builder import RootfsBuilder
from mirror.registry.port import Blob, Reader
from mirror.runtime.concurrency.fair_scheduler import FairScheduler, ScheduledWork
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.runtime.concurrency.threads import in_thread

#: Layers that are read on at the same time. Each keeps a processor busy, and threads must be left for the store.
_AT_ONCE: Final = 2
#: What one turn may take as long as, in bytes of a tar that are only hashed: some ten milliseconds.
_HOP_BYTES: Final = 4 * 1024 * 1024
#: Layers and plugins of which it is kept what they are, so that another tag or name does not read them again.
_MOST_KEPT: Final = 1024


class SharedLayerReader:
    """Reads layers for a whole process: few at a time, in fair turns, each once.

    Turns belong to repositories. Who pushes is not known here, and need not be: whoever began lately, or has had
    little, goes first, so that a small push never waits for large ones, whoever sends them.

    Args:
        limits: beyond which layers are not read.
    """

    def __init__(self, limits: LayerLimits) -> None:
        self._limits = limits
        self._turns = FairScheduler(_AT_ONCE)
        self._facts: LRUCache[Digest, LayerFacts] = LRUCache(_MOST_KEPT)
        self._platforms: LRUCache[Digest, Platform | str | None] = LRUCache(_MOST_KEPT)
        self._layers_being_read: SharedTasks[Digest, LayerFacts] = SharedTasks()
        self._platforms_being_read: SharedTasks[Digest, Platform | str | None] = SharedTasks()

    def of(self, registry: Reader) -> RegistryLayers:
        """The layers of one registry."""
        return RegistryLayers(registry, self)

    async def facts(self, registry: Reader, repository: Repository, digest: Digest) -> LayerFacts:
        """What there is to know of a layer. Takes about as long as ``gunzip | sha256sum``, the first time.

        Args:
            registry, repository: where it is read.
            digest: of the layer.

        Raises:
            BlobUnknown: the repository does not hold it. And whatever the registry raises while it is read.
        """
        async with registry.open_blob(repository, digest) as blob:
            if (known := self._facts.get(digest)) is not None:
                return known

            async def read() -> LayerFacts:
                return await self._read(repository, digest, blob)

            return await self._layers_being_read.run(digest, read)

    async def facts_of(
        self, registry: Reader, repository: Repository, manifest: Manifest
    ) -> Mapping[Digest, LayerFacts]:
        """What there is to know of a plugin's layers, by digest; none is read any more when a limit is met.

        Raises:
            BlobUnknown: the repository does not hold one that must be there. And whatever the registry raises.
        """
        must_be_here = {blob.digest for blob in manifest.blobs}
        layers = PluginLayers(self._limits)
        for layer in {layer.digest: layer for layer in manifest.layers}.values():
            try:
                if layers.problem is None:
                    layers.add(layer.digest, await self.facts(registry, repository, layer.digest))
                else:
                    layers.pass_over(layer)
            except BlobUnknown:
                if layer.digest in must_be_here:
                    raise
        return layers.facts

    async def platform(
        self, registry: Reader, repository: Repository, manifest: Manifest, config: PluginConfig
    ) -> Platform | str | None:
        """What the program runs on that an engine starts, else most of the programs; None where none of them tells.

        Takes about as long as ``gunzip`` does, the first time.

        Returns:
            In words, why a layer cannot be read to its end: engines may read on where we do not.

        Raises:
            BlobUnknown: a layer is not in the repository. And whatever the registry raises.
        """
        key = manifest.digest
        if key not in self._platforms:

            async def read() -> Platform | str | None:
                platform = self._platforms[key] = await self._read_platform(registry, repository, manifest, config)
                return platform

            return await self._platforms_being_read.run(key, read)
        return self._platforms[key]

    async def _read_platform(
        self, registry: Reader, repository: Repository, manifest: Manifest, config: PluginConfig
    ) -> Platform | str | None:
        watcher = RootfsBuilder()
        layers = PluginLayers(self._limits)
        for number, digest in enumerate(dict.fromkeys(layer.digest for layer in manifest.layers), 1):
            # It is read although its facts may be known, to see what is in it.
            async with registry.open_blob(repository, digest) as blob:
                layers.add(digest, await self._read(repository, digest, blob, watcher))
            if (problem := layers.facts[digest].problem) is not None:
                return f"layer {number} {problem.value}"
        return await in_thread(platform_of, config, watcher.finish())

    async def _read(
        self, repository: Repository, digest: Digest, blob: Blob, watcher: EntryWatcher | None = None
    ) -> LayerFacts:
        with self._turns.work(repository) as work:
            facts = await read_layer(blob, blob.size_bytes, self._limits, watcher, make=partial(_in_turns, work))
        self._facts[digest] = facts
        return facts


class RegistryLayers:
    """Layers of one registry, read in turn with all others of the process.

    Implements :class:`mirror.transfer.derive_copy.LayerFactsReader`.
    """

    def __init__(self, registry: Reader, reading: SharedLayerReader) -> None:
        self._registry = registry
        self._reading = reading

    async def facts(self, repository: Repository, digest: Digest) -> LayerFacts:
        """As :meth:`SharedLayerReader.facts`."""
        return await self._reading.facts(self._registry, repository, digest)


async def _in_turns(work: ScheduledWork, steps: Iterator[int]) -> None:
    """Make steps in as many turns as it takes; none takes long, and none waits for bytes to come."""
    has_more = True
    while has_more:
        async with work.turn():
            cost, has_more = await in_thread(_hop, steps)
            work.charge(cost)


def _hop(steps: Iterator[int]) -> tuple[int, bool]:
    """Make steps for some time. Gives what they took as long as, and whether there may be more."""
    done = 0
    for cost in steps:
        done += cost
        if done >= _HOP_BYTES:
            return done, True
    return done, False
