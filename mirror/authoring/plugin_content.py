"""Read the content of a plugin through the port: its config, and each layer once.

Only facts about the layers are kept in memory, not their bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType

from mirror.oci import Digest, Manifest, Repository
from mirror.oci.digest import new_hasher
from mirror.oci.errors import BlobUnknown, ManifestInvalid, StorageFault
from mirror.oci.printable_text import quoted
from mirror.plugin import reading, rootfs
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.lint import manifest_checks
from mirror.plugin.lint.plugin_view import PluginContent
from mirror.plugin.lint.rootfs_checks import names_to_find
from mirror.plugin.reading.layers_reading import LayersReading, read_reading, reading_version, write_reading
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS, LayerLimits, PluginLayers
from mirror.plugin.rootfs.layer_stream import read_layer
from mirror.plugin.rootfs.rootfs_builder import RootfsBuilder
from mirror.records.readings import Readings
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
    readings: Readings | None = None,
) -> PluginContent:
    """Read the config and all layers of a plugin. No layer is opened if a reading of the same layers is kept.

    The root filesystem in the result is None if a layer is missing, exceeds the limits or cannot be read to its end.
    Findings always follow the rules of this version, because a reading has no findings.

    Args:
        reader: registry of the plugin.
        repository: repository of the plugin.
        manifest: manifest of the plugin.
        progress: receives the number of layer bytes that are done.
        limits: limits beyond which layers are not read.
        readings: keeps the reading; None to read the layers each time.

    Raises:
        BlobUnknown: the config is missing, or a layer that may not be missing.
        ManifestInvalid: the manifest has no config.
    """
    stored = await _config_blob(reader, repository, manifest)
    config = _parsed(stored.content)
    names = () if config is None else names_to_find(config)
    # A manifest may name a layer several times. Its content is read once.
    layers = {layer.digest: layer for layer in manifest.layers}
    if readings is None:
        read = await _read_layers(reader, repository, manifest, progress, limits=limits, names=names)
    else:
        version = reading_version(code_digest(rootfs, reading), limits, names)
        kept = await readings.reading(manifest.digest, version)
        known = None if kept is None else await in_thread(read_reading, kept)
        # A layer that is gone since then is a finding or an error, so the reading does not replace it.
        if known is not None and known.facts.keys() == layers.keys() and await _all_held(reader, repository, layers):
            read = known
        else:
            read = await _read_layers(reader, repository, manifest, progress, limits=limits, names=names)
            if read.facts.keys() == layers.keys():
                await _keep(readings, manifest.digest, version, read)
    found = manifest_checks.check_plugin(manifest, stored.size_bytes, stored.content, read.facts)
    return PluginContent(config, read.rootfs, found)


@cache
def code_digest(*rooms: ModuleType) -> str:
    """Return a digest of all modules in packages.

    The digest of the code that reads layers is part of the version of a reading. So a change of this code ends the
    readings of before, and nobody has to remember it.
    """
    hasher = new_hasher()
    for room in rooms:
        for file in sorted(Path(room.__path__[0]).glob("*.py*")):
            hasher.update(file.read_bytes())
    return hasher.hexdigest()


async def _read_layers(
    reader: Reader,
    repository: Repository,
    manifest: Manifest,
    progress: Progress,
    *,
    limits: LayerLimits,
    names: Iterable[bytes],
) -> LayersReading:
    """Read each layer of a plugin once."""
    watcher = RootfsBuilder(names)
    layers = list({layer.digest: layer for layer in manifest.layers}.values())
    must_be_here = {blob.digest for blob in manifest.blobs}
    progress.expect(sum(layer.size_bytes for layer in layers))
    read = PluginLayers(limits)
    for layer in layers:
        if read.problem is not None:
            read.pass_over(layer)
            continue
        try:
            async with reader.open_blob(repository, layer.digest, None, layer.size_bytes) as blob:
                facts = await read_layer(blob, blob.size_bytes, limits, watcher, make=_make, advance=progress.advance)
                read.add(layer.digest, facts)
        except BlobUnknown:
            # A layer with urls may be elsewhere. Any other layer belongs to the registry.
            if layer.digest in must_be_here:
                raise
    known = read.facts
    # Without one of its layers, the tree would lack files that the layer adds and show files that it hides.
    whole = len(known) == len(layers) and not any(one.problem for one in known.values())
    return LayersReading(watcher.finish() if whole else None, known)


async def _all_held(reader: Reader, repository: Repository, layers: Iterable[Digest]) -> bool:
    """Return True if the repository holds all layers. No layer is opened."""
    try:
        for layer in layers:
            await reader.stat_blob(repository, layer)
    except BlobUnknown:
        return False
    return True


async def _keep(readings: Readings, digest: Digest, version: str, read: LayersReading) -> None:
    """Keep a reading, unless it is too large or the store cannot be written."""
    document = await in_thread(write_reading, read)
    if document is not None:
        with suppress(StorageFault):  # a full disk must not hide what was found
            await readings.record_reading(digest, version, document)


async def _make(steps: Iterator[int]) -> None:
    """Run all steps in one thread."""
    await in_thread(deque, steps, maxlen=0)


async def _config_blob(reader: Reader, repository: Repository, manifest: Manifest) -> ConfigBlob:
    if manifest.config is None:
        raise ManifestInvalid(f"{manifest.digest} is not a plugin: it has no config")
    return await read_plugin_config(reader, repository, manifest.config.digest, manifest.config.size_bytes)


def _parsed(content: bytes | None) -> PluginConfig | None:
    try:
        return None if content is None else PluginConfig.parse(content)
    except ManifestInvalid:
        return None  # a finding says why the config cannot be read
