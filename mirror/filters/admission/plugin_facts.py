"""Facts about a plugin read from a registry for its admission: config, requested privileges and platform."""

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

#: Plugins whose facts are kept in memory.
_MOST_KEPT: Final = 1024
#: Size in bytes of the largest config kept in memory. Real configs have 1 to 10 KiB.
_MOST_KEPT_BYTES: Final = 64 * 1024
#: Bounds on the requested privileges of a plugin that can be judged, and on their characters. Real plugins request
#: some twenty. The reach of each mount is computed for each rule.
_MOST_ASKED, _MOST_ASKED_CHARACTERS = 500, 32 * 1024

#: Checks a plugin with layers pushed after its manifest. Returns the reason if engines cannot install it, else None.
Examine: TypeAlias = Callable[[Reader, Repository, Manifest], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class PluginFacts:
    """Facts about a plugin, independent of the registry holding it.

    Attributes:
        config: configuration of the plugin. A text if nobody can know how engines will read it: the reason, in words
            which follow "cannot be judged:".
        asked: requested privileges. None if the config cannot be read.
        platform: platform of the plugin. None if no program tells, or if no rule needs the platform.
        lacks: True if the plugin cannot be judged because some content is missing here.
    """

    config: PluginConfig | str
    asked: tuple[RequestedPrivilege, ...] | None = None
    platform: Platform | None = None
    lacks: bool = False


class PluginFactsReader:
    """Reader of facts about plugins. Each plugin is read once if possible.

    Args:
        layers: reader of layers, for the platform. None if no rule needs the platform.
        examine: checks layers pushed after their manifest. None if such layers need no check.
    """

    def __init__(self, layers: SharedLayerReader | None, examine: Examine | None) -> None:
        self._layers = layers
        self._examine = examine
        self._kept: LRUCache[Digest, PluginFacts] = LRUCache(_MOST_KEPT)
        self._cpu_offload = CpuOffload()

    async def facts(self, registry: Reader, repository: Repository, manifest: Manifest) -> PluginFacts:
        """Return the facts about a plugin, as far as its content is in the repository.

        Args:
            registry: registry to read from.
            repository: repository of the plugin.
            manifest: manifest of the plugin.

        Raises:
            BlobUnknown: the repository lacks content which must be present.
            MirrorError: any error of the registry.
        """
        # Engines may read an ambiguous manifest differently, whatever its config says (ADR 22).
        if manifest.ambiguity is not None:
            return PluginFacts(f"the manifest {manifest.ambiguity}")
        # Checked each time, also for a known plugin: another repository may lack a layer, or a layer may be deleted.
        missing = await self._missing(registry, repository, manifest)
        known = self._kept.get(manifest.digest)
        if known is not None and missing is None:
            return known
        facts = known or await self._config(registry, repository, manifest)
        if missing is not None:
            return replace(facts, config=f"layer {missing} is not stored here", lacks=True)
        if not isinstance(facts.config, str):
            facts = await self._of_layers(registry, repository, manifest, facts, facts.config)
        if manifest.config is not None and manifest.config.size_bytes <= _MOST_KEPT_BYTES:
            self._kept[manifest.digest] = facts
        return facts

    async def asked(
        self, registry: Reader, repository: Repository, manifest: Manifest
    ) -> tuple[RequestedPrivilege, ...] | None:
        """Return the privileges requested by a plugin, read from its config alone. None if nobody can know them.

        Raises:
            BlobUnknown: the repository lacks the config.
            MirrorError: any error of the registry.
        """
        if manifest.ambiguity is not None:
            return None
        return (self._kept.get(manifest.digest) or await self._config(registry, repository, manifest)).asked

    async def _missing(self, registry: Reader, repository: Repository, manifest: Manifest) -> int | None:
        """Return the number of the first missing layer among the layers which need not be present.

        An engine may fetch such a layer from elsewhere, where we cannot see it.
        """
        for number, digest in late_layers(manifest):
            try:
                await registry.stat_blob(repository, digest)
            except BlobUnknown:
                return number
        return None

    async def _config(self, registry: Reader, repository: Repository, manifest: Manifest) -> PluginFacts:
        if manifest.config is None:
            return PluginFacts("it has no config")
        content = (
            await read_plugin_config(registry, repository, manifest.config.digest, manifest.config.size_bytes)
        ).content
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
    """Return the layers which may be pushed after their manifest, or never. Each is listed once, with its number."""
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
            f"its config asks for too much ({len(written)} sources, options and capabilities; at most {_MOST_ASKED} "
            f"with {_MOST_ASKED_CHARACTERS} characters are judged)"
        )
    return PluginFacts(config, requested_privileges(config, reading_apart=True))
