"""Reading of layers, each only once, shared by all parts of a process that need facts about layers."""

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
from mirror.plugin.rootfs.rootfs_builder import RootfsBuilder
from mirror.plugin.startup.plugin_platform import platform_of
from mirror.registry.port import Blob, Reader
from mirror.runtime.concurrency.fair_scheduler import FairScheduler, ScheduledWork
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.runtime.concurrency.threads import in_thread

#: Layers whose turns run at the same time. Each keeps a processor busy, and the store needs threads too.
_AT_ONCE: Final = 2
#: Cost of one turn, in bytes of a tar that are only hashed: some ten milliseconds.
_HOP_BYTES: Final = 4 * 1024 * 1024
#: Layers and plugins whose facts are kept in memory, so another tag or name does not read them again.
_MOST_KEPT: Final = 1024


class SharedLayerReader:
    """Reader of layers for a whole process: few at a time, in fair turns, each layer once.

    Turns belong to repositories. The pushing client is not known here, and need not be. Work which began recently or
    had few turns goes first, so a small push never waits for large ones, whoever pushes them (ADR 24).

    Args:
        limits: bounds beyond which layers are not read.
    """

    def __init__(self, limits: LayerLimits) -> None:
        self._limits = limits
        self._turns = FairScheduler(_AT_ONCE)
        self._facts: LRUCache[Digest, LayerFacts] = LRUCache(_MOST_KEPT)
        self._platforms: LRUCache[Digest, Platform | str | None] = LRUCache(_MOST_KEPT)
        self._layers_being_read: SharedTasks[Digest, LayerFacts] = SharedTasks()
        self._platforms_being_read: SharedTasks[Digest, Platform | str | None] = SharedTasks()

    def of(self, registry: Reader) -> RegistryLayers:
        """Return a reader of the layers of one registry."""
        return RegistryLayers(registry, self)

    def remember(self, digest: Digest, facts: LayerFacts) -> None:
        """Keep the facts of a layer that this process wrote, so that nobody reads the layer for them.

        A layer near a limit is not remembered, because reading decides where a limit is met.

        Args:
            digest: digest of the layer.
            facts: facts that reading the layer would find without limits, see
                :attr:`mirror.authoring.files.layer_writer.LayerWriting.is_ordinary`.
        """
        if self._limits.leave_whole(facts):
            self._facts[digest] = facts

    async def facts(self, registry: Reader, repository: Repository, digest: Digest) -> LayerFacts:
        """Return the facts of a layer. The first call takes about as long as ``gunzip | sha256sum``.

        Args:
            registry: registry to read from.
            repository: repository of the layer.
            digest: digest of the layer.

        Raises:
            BlobUnknown: the repository does not hold the layer.
            MirrorError: any error of the registry while the layer is read.
        """
        # Open the blob even if its facts are known: facts of another repository's layer must not be told to a caller
        # whose repository does not hold the layer.
        async with registry.open_blob(repository, digest) as blob:
            if (known := self._facts.get(digest)) is not None:
                return known

            async def read() -> LayerFacts:
                return await self._read(repository, digest, blob)

            return await self._layers_being_read.run(digest, read)

    async def facts_of(
        self, registry: Reader, repository: Repository, manifest: Manifest
    ) -> Mapping[Digest, LayerFacts]:
        """Return the facts of a plugin's layers, by digest. Once a limit is met, no further layer is read.

        Raises:
            BlobUnknown: the repository lacks a layer which must be present.
            MirrorError: any error of the registry.
        """
        # Foreign layers may lie elsewhere.
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
        """Return the platform of the program started by an engine, else of most programs in the plugin.

        The first call takes about as long as ``gunzip``.

        Returns:
            The platform. None if no program tells. A text with the reason if a layer cannot be read to its end, because
            engines may read on where we do not.

        Raises:
            BlobUnknown: the repository lacks a layer.
            MirrorError: any error of the registry.
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
        watcher = RootfsBuilder(digests=False)
        layers = PluginLayers(self._limits)
        for number, digest in enumerate(dict.fromkeys(layer.digest for layer in manifest.layers), 1):
            # Read the layer even if its facts are known, because the watcher needs its entries.
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
    """Reader of the layers of one registry, which takes turns with all others of the process.

    Implements :class:`mirror.transfer.derive_copy.LayerFactsReader`.
    """

    def __init__(self, registry: Reader, reading: SharedLayerReader) -> None:
        self._registry = registry
        self._reading = reading

    async def facts(self, repository: Repository, digest: Digest) -> LayerFacts:
        """Return the facts of a layer. See :meth:`SharedLayerReader.facts`."""
        return await self._reading.facts(self._registry, repository, digest)


async def _in_turns(work: ScheduledWork, steps: Iterator[int]) -> None:
    """Run the steps in as many turns as needed. No turn takes long, and none waits for bytes to arrive."""
    # A turn ends after a bounded cost, not after a number of bytes read: 1 MiB of gzip may stand for 1 GiB (ADR 24).
    has_more = True
    while has_more:
        async with work.turn():
            cost, has_more = await in_thread(_hop, steps)
            work.charge(cost)


def _hop(steps: Iterator[int]) -> tuple[int, bool]:
    """Run steps for a limited cost. Returns the cost, and True if there may be more steps."""
    done = 0
    for cost in steps:
        done += cost
        if done >= _HOP_BYTES:
            return done, True
    return done, False
