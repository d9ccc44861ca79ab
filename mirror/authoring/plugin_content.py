"""A plugin's content, read through the port: its config, and each layer once, of which only what is told is kept."""

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
    """Tell of what is no plugin that it is none.

    Raises:
        ManifestInvalid: it is an index, an image or an artifact.
    """
    if manifest.manifests:
        members = ", ".join(str(member.digest) for member in manifest.manifests[:4])
        raise ManifestInvalid(
            f"{name} is an index: no engine since 20.10 installs one; look at what is in it: {members}"
        )
    if not manifest.is_plugin and manifest.ambiguity is not None:
        raise ManifestInvalid(
            f"{name} may be a plugin to an engine, and nobody can tell which: the manifest {manifest.ambiguity}"
        )
    if not manifest.is_plugin:
        kind = (
            "an index without members" if manifest.config is None else f"of type {quoted(manifest.config.media_type)}"
        )
        raise ManifestInvalid(f"{name} is no plugin: it is {kind}")


async def read_config(reader: Reader, repository: Repository, manifest: Manifest) -> PluginContent:
    """Read what shows without the layers.

    Args:
        reader, repository: where it is.
        manifest: a plugin's.

    Raises:
        BlobUnknown: the config is not there.
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
    """Read all of a plugin.

    Args:
        reader, repository: where it is.
        manifest: a plugin's.
        progress: told of the bytes of layers.
        limits: beyond which layers are not read.
        digests: whether each file is hashed, so that it can be compared.

    Raises:
        BlobUnknown: the config, or a layer that must be there, is not.
    """
    stored = await _config_blob(reader, repository, manifest)
    config = _parsed(stored.content)
    watcher = RootfsBuilder(() if config is None else names_to_find(config), digests=digests)
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
            if layer.digest in must_be_here:
                raise
    known = read.facts
    whole = len(known) == len(layers) and not any(one.problem for one in known.values())
    rootfs: Rootfs | None = watcher.finish() if whole else None
    return PluginContent(
        config, rootfs, manifest_checks.check_plugin(manifest, stored.size_bytes, stored.content, known)
    )


async def _make(steps: Iterator[int]) -> None:
    """Make steps in one thread, which need not be shared."""
    await in_thread(deque, steps, maxlen=0)


async def _config_blob(reader: Reader, repository: Repository, manifest: Manifest) -> ConfigBlob:
    if manifest.config is None:
        raise ManifestInvalid(f"{manifest.digest} is no plugin: it has no config")
    return await read_plugin_config(reader, repository, manifest.config.digest)


def _parsed(content: bytes | None) -> PluginConfig | None:
    try:
        return None if content is None else PluginConfig.parse(content)
    except ManifestInvalid:
        return None  # the findings tell why
