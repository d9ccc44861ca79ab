"""What a plugin is, read out of a registry for who judges it: its config, what it asks for, what it runs on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from cachetools import LRUCache

from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Digest, Manifest, Repository
from mirror.oci.errors import BlobUnknown, ManifestInvalid
from mirror.oci.printable_text import printable
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege, requested_privileges
from mirror.plugin.rootfs.platform import Platform
from mirror.registry.config_reading import read_plugin_config
from mirror.registry.port import Reader
from mirror.runtime.concurrency.cpu_offload import CpuOffload

#: Plugins that are remembered.
_MOST_KEPT: Final = 1024
#: Largest config that is kept as it was read, in bytes; real ones have 1 to 10 KiB.
_MOST_KEPT_BYTES: Final = 64 * 1024
#: Things that a plugin may ask for and still be judged, and characters of them; real ones ask for some twenty. What
#: each mount reaches is worked out for each rule.
_MOST_ASKED, _MOST_ASKED_CHARACTERS = 500, 32 * 1024

#: Looks at a plugin some of whose layers came after its manifest; gives why engines could not install it, or None.
Examine: TypeAlias = Callable[[Reader, Repository, Manifest], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class PluginFacts:
    """What a plugin is, whoever holds it.

    Attributes:
        config: its configuration, or why nobody can know what engines will make of it, in words that follow "cannot be
            judged:".
        asked: what it asks for; None: its config cannot be read.
        platform: what it runs on; None where nothing tells, or nobody asks.
        lacks: whether it cannot be judged because something is not here yet.
    """

    config: PluginConfig | str
    asked: tuple[RequestedPrivilege, ...] | None = None
    platform: Platform | None = None
    lacks: bool = False


class PluginFactsReader:
    """Reads plugins, each once as far as that goes.

    Args:
        layers: reads layers for the platform; None: nobody asks what a plugin runs on.
        examine: looks at layers that came after the manifest; None: nobody wants to know.
    """

    def __init__(self, layers: SharedLayerReader | None, examine: Examine | None) -> None:
        self._layers = layers
        self._examine = examine
        self._kept: LRUCache[Digest, PluginFacts] = LRUCache(_MOST_KEPT)
        self._cpu_offload = CpuOffload()

    async def facts(self, registry: Reader, repository: Repository, manifest: Manifest) -> PluginFacts:
        """What a plugin is, as far as its content is in the repository.

        Args:
            registry, repository: where it is read.
            manifest: the plugin.

        Raises:
            BlobUnknown: something that must be there is not. And what the registry raises.
        """
        if manifest.ambiguity is not None:
            return PluginFacts(f"the manifest {manifest.ambiguity}")
        missing = await self._missing(registry, repository, manifest)
        known = self._kept.get(manifest.digest)
        if known is not None and missing is None:
            return known
        facts = known or await self._config(registry, repository, manifest)
        if missing is not None:
            return replace(facts, config=f"layer {missing} is not here", lacks=True)
        if not isinstance(facts.config, str):
            facts = await self._of_layers(registry, repository, manifest, facts, facts.config)
        if manifest.config is not None and manifest.config.size_bytes <= _MOST_KEPT_BYTES:
            self._kept[manifest.digest] = facts
        return facts

    async def asked(
        self, registry: Reader, repository: Repository, manifest: Manifest
    ) -> tuple[RequestedPrivilege, ...] | None:
        """Things that a plugin asks for, read from its config alone; None: nobody can know.

        Raises:
            BlobUnknown: the config is not in the repository. And what the registry raises.
        """
        if manifest.ambiguity is not None:
            return None
        return (self._kept.get(manifest.digest) or await self._config(registry, repository, manifest)).asked

    async def _missing(self, registry: Reader, repository: Repository, manifest: Manifest) -> int | None:
        """Which layer is not here, of those that need not be: an engine may fetch it from elsewhere, unseen by us."""
        for number, digest in late_layers(manifest):
            try:
                await registry.stat_blob(repository, digest)
            except BlobUnknown:
                return number
        return None

    async def _config(self, registry: Reader, repository: Repository, manifest: Manifest) -> PluginFacts:
        if manifest.config is None:
            return PluginFacts("it has no config")
        content = (await read_plugin_config(registry, repository, manifest.config.digest)).content
        if content is None:
            return PluginFacts(f"its config has more than {MAX_CONFIG_BYTES} bytes")
        return await self._cpu_offload.do(repository, len(content), _facts_of_config, content)

    async def _of_layers(
        self, registry: Reader, repository: Repository, manifest: Manifest, facts: PluginFacts, config: PluginConfig
    ) -> PluginFacts:
        if self._examine is not None and any(late_layers(manifest)):
            problem = await self._examine(registry, repository, manifest)
            if problem is not None:
                return replace(facts, config=problem)
        if self._layers is None:
            return facts
        platform = await self._layers.platform(registry, repository, manifest, config)
        return replace(facts, config=platform) if isinstance(platform, str) else replace(facts, platform=platform)


def late_layers(manifest: Manifest) -> list[tuple[int, Digest]]:
    """The layers that may be pushed after their manifest, or never: each once, with its number."""
    must_be_here = {blob.digest for blob in manifest.blobs}
    found: dict[Digest, int] = {}
    for number, layer in enumerate(manifest.layers, 1):
        if layer.digest not in must_be_here:
            found.setdefault(layer.digest, number)
    return [(number, digest) for digest, number in found.items()]


def _facts_of_config(content: bytes) -> PluginFacts:
    try:
        config = PluginConfig.parse(content)
    except ManifestInvalid as error:
        return PluginFacts(f"its config cannot be read ({printable(error.message, 200)})")
    written = [
        *(text for mount in config.mounts for text in (mount.source or "", *mount.options)),
        *(device.path or "" for device in config.devices),
        *config.capabilities,
    ]
    if len(written) > _MOST_ASKED or sum(map(len, written)) > _MOST_ASKED_CHARACTERS:
        return PluginFacts(
            f"its config asks for more than is looked at ({len(written)} sources, options and capabilities)"
        )
    return PluginFacts(config, requested_privileges(config, reading_apart=True))
