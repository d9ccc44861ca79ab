"""What a plugin runs on, read out of its layers."""

from __future__ import annotations

from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository
from mirror.plugin.config import PluginConfig
from mirror.plugin.platform import Platform
from mirror.plugin.rootfs import platform_of
from mirror.plugin.rootfs_reader import RootfsReader
from mirror.registry.layer_reading import read_layer
from mirror.registry.port import Reader


async def read_platform(
    registry: Reader, repository: Repository, manifest: Manifest, config: PluginConfig
) -> Platform | str | None:
    """What the program runs on that an engine starts, else most of the programs; None where none of them tells.

    Takes about as long as ``gunzip`` does.

    Returns:
        In words, why a layer cannot be read to its end: engines may read on where we do not.

    Raises:
        BlobUnknown: a layer is not in the repository. And whatever the registry raises.
    """
    watcher = RootfsReader()
    for number, digest in enumerate(dict.fromkeys(layer.digest for layer in manifest.layers), 1):
        async with registry.open_blob(repository, digest) as blob:
            facts = await read_layer(blob, watcher)
        if facts.problem is not None:
            return f"layer {number} {facts.problem.value}"
    return platform_of(config, watcher.finish())
