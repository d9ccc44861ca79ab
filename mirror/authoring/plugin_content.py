"""Read the content of a plugin through the port: its config, and each layer once.

Only facts about the layers are kept in memory, not their bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from mirror.oci import Manifest, Repository
from mirror.oci.errors import BlobUnknown, ManifestInvalid
from mirror.oci.printable_text import quoted
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.lint import manifest_checks
from mirror.plugin.lint.plugin_view import PluginContent
from mirror.plugin.lint.rootfs_checks import names_to_find
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS, LayerLimits, PluginLayers
from mirror.plugin.rootfs.layer_stream import read_layer
from mirror.plugin.rootfs.root_filesystem import Rootfs
from mirror.plugin.rootfs.rootfs_builder import RootfsBuilder
from mirror.registry.config_reading import ConfigBlob, read_plugin_config
from mirror.registry.port import Reader
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.progress_reporting import Progress


def require_plugin(manifest: Manifest, name: str) -> None:
    """Check that a manifest is a plugin.

    Args:
        manifest: the manifest.
        name: name of the manifest, for the error message.

    Raises:
        ManifestInvalid: the manifest is an index, an image or an artifact, or is ambiguous.
    """
    if manifest.manifests:
        members = ", ".join(str(member.digest) for member in manifest.manifests[:4])
        raise ManifestInvalid(
            f"{name} is an index, which no engine since 20.10 installs; fix: name a member: {members}"
        )
    if not manifest.is_plugin and manifest.ambiguity is not None:
        raise ManifestInvalid(
            f"{name} is ambiguous, because engines may read it differently: the manifest {manifest.ambiguity}"
        )
    if not manifest.is_plugin:
        kind = (
            "an index without members" if manifest.config is None else f"of type {quoted(manifest.config.media_type)}"
        )
        raise ManifestInvalid(f"{name} is not a plugin: it is {kind}")


async def read_config(reader: Reader, repository: Repository, manifest: Manifest) -> PluginContent:
    """Read the config of a plugin, without its layers.

    Args:
        reader: registry of the plugin.
        repository: repository of the plugin.
        manifest: manifest of the plugin.

    Raises:
        BlobUnknown: the config is missing.
        ManifestInvalid: the manifest has no config.
    """
    stored = await _config_blob(reader, repository, manifest)
    found = manifest_checks.check_plugin(manifest, stored.size_bytes, stored.content, None)
    return PluginContent(_parsed(stored.content), None, found)


async def read_content(
    reader: Reader,
    repository: Repository,
    manifest: Manifest,
    progress: Progress,
    *,
    limits: LayerLimits = DEFAULT_LIMITS,
    digests: bool = False,
) -> PluginContent:
    """Read the config and all layers of a plugin.

    The root filesystem in the result is None if a layer is missing, exceeds the limits or cannot be read to its end.

    Args:
        reader: registry of the plugin.
        repository: repository of the plugin.
        manifest: manifest of the plugin.
        progress: receives the number of layer bytes that are done.
        limits: limits beyond which layers are not read.
        digests: True to hash each file, for comparisons.

    Raises:
        BlobUnknown: the config is missing, or a layer that may not be missing.
        ManifestInvalid: the manifest has no config.
    """
    stored = await _config_blob(reader, repository, manifest)
    config = _parsed(stored.content)
    watcher = RootfsBuilder(() if config is None else names_to_find(config), digests=digests)
    # A manifest may name a layer several times. Its content is read once.
    layers = list({layer.digest: layer for layer in manifest.layers}.values())
    must_be_here = {blob.digest for blob in manifest.blobs}
    progress.expect(sum(layer.size_bytes for layer in layers))
    read = PluginLayers(limits)
    for layer in layers:
        if read.problem is not None:
            read.pass_over(layer)
            continue
        try:
            async with reader.open_blob(repository, layer.digest) as blob:
                facts = await read_layer(blob, blob.size_bytes, limits, watcher, make=_make, advance=progress.advance)
                read.add(layer.digest, facts)
        except BlobUnknown:
            # A layer with urls may be elsewhere. Any other layer belongs to the registry.
            if layer.digest in must_be_here:
                raise
    known = read.facts
    # Without one of its layers, the tree would lack files that the layer adds and show files that it hides.
    whole = len(known) == len(layers) and not any(one.problem for one in known.values())
    rootfs: Rootfs | None = watcher.finish() if whole else None
    return PluginContent(
        config, rootfs, manifest_checks.check_plugin(manifest, stored.size_bytes, stored.content, known)
    )


async def _make(steps: Iterator[int]) -> None:
    """Run all steps in one thread."""
    await in_thread(deque, steps, maxlen=0)


async def _config_blob(reader: Reader, repository: Repository, manifest: Manifest) -> ConfigBlob:
    if manifest.config is None:
        raise ManifestInvalid(f"{manifest.digest} is not a plugin: it has no config")
    return await read_plugin_config(reader, repository, manifest.config.digest)


def _parsed(content: bytes | None) -> PluginConfig | None:
    try:
        return None if content is None else PluginConfig.parse(content)
    except ManifestInvalid:
        return None  # a finding says why the config cannot be read
