"""Copy an installed plugin out of a Docker Engine, under any name."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mirror.authoring.engine_data import EngineBlobs, EngineData
from mirror.authoring.files.folder_tree import read_folder
from mirror.authoring.files.safe_files import open_folder, read_file, reading
from mirror.authoring.naming import config_notes, notes_on_name
from mirror.authoring.pack import pack_tree
from mirror.oci import Descriptor, Digest, Manifest, Tag, media_types
from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.oci.manifest import MAX_MANIFEST_BYTES, parse_json_object
from mirror.plugin.build.assembly import plugin_manifest
from mirror.plugin.build.engine_record import EngineRecord, manifest_as_pushed, without_additions
from mirror.plugin.config.own_name import local_name
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.rootfs.tree import TreeEntry
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.copy_engine import CopyDestination, CopySource, copy_graph
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True)
class Captured:
    """A plugin that was captured.

    Attributes:
        record: the engine's record of the plugin.
        manifest: the manifest that was stored.
        verbatim: True if the blobs in the engine were copied. False if the plugin was built from its files.
        notes: sentences for the user.
    """

    record: EngineRecord
    manifest: Manifest
    verbatim: bool
    notes: tuple[str, ...]


async def capture(root: Path, plugin: str, destination: CopyDestination, tag: Tag, progress: Progress) -> Captured:
    """Copy an installed plugin out of an engine, which may be running.

    The blobs are copied byte for byte if the engine still has all of them. Otherwise the plugin is built from its
    configuration and files, without the entries that the engine adds when it enables a plugin. Settings that users
    changed on the host are in neither.

    Args:
        root: data root of the engine.
        plugin: name or id of the plugin on the engine.
        destination: registry and repository that receive the plugin.
        tag: tag of the plugin at the destination.
        progress: receives the number of bytes that are done.

    Raises:
        NotFound: the engine has no such plugin, or several ids begin with ``plugin``.
        ConfigurationFault: the data root cannot be read, or the files can only be read by root.
        ManifestInvalid: engines cannot install the plugin.
        MirrorError: any error of the destination.
    """
    data = EngineData(root)
    record = await in_thread(data.find, plugin)
    manifest = await in_thread(_manifest_in_blobs, data, record)
    if manifest is not None:
        origin = CopySource(EngineBlobs(data, manifest), destination.repository)
        # An OCI layout file is written from start to end, so it accepts one blob at a time.
        await copy_graph(origin, manifest.digest, destination, [tag], progress, blobs_at_once=1)
        is_its_own = record.manifest == manifest.digest
        anew = (
            ()
            if is_its_own
            else ("the engine does not have the manifest of the plugin, so the copy has a new manifest and digest",)
        )
        naming = await notes_on_name(origin.registry, origin.repository, manifest, tag)
        return Captured(record, manifest, verbatim=True, notes=(*anew, *naming))
    with ExitStack() as stack:
        entries = await in_thread(_files, data, record, stack)
        packed = await pack_tree(record.document, entries, destination, tag, progress, latest_seconds=0)
    notes = ["the engine no longer has all blobs of the plugin, so the copy was built from its files", *packed.notes]
    if record.enabled:
        notes.append(
            "the plugin is enabled, so files that it has written are in the copy; fix: disable the plugin first"
        )
    notes += config_notes(packed.plugin.config, local_name(destination.repository.name, tag.name))
    return Captured(record, packed.plugin.manifest, verbatim=False, notes=tuple(notes))


def _manifest_in_blobs(data: EngineData, record: EngineRecord) -> Manifest | None:
    """Return a manifest whose blobs the engine has completely, or None if a blob is missing."""
    if record.manifest is not None and data.blob(record.manifest).is_file():
        content = read_file(data.blob(record.manifest), MAX_MANIFEST_BYTES)
        manifest = Manifest.parse(content, _media_type(content), record.manifest)
    elif record.config is not None and record.layers is not None:
        if not _are_there(data, [record.config, *record.layers]):
            return None
        manifest = _manifest_of(data, record, record.config, record.layers)
    else:
        return None
    is_whole = manifest.config is not None and bool(manifest.layers)
    return manifest if is_whole and _are_there(data, [blob.digest for blob in manifest.blobs]) else None


def _manifest_of(data: EngineData, record: EngineRecord, config: Digest, layers: tuple[Digest, ...]) -> Manifest:
    """Return a manifest for blobs of an engine.

    The result is the original manifest if the engine recorded its digest and the bytes can be reconstructed. Otherwise
    a new manifest is made.
    """
    sizes = [(digest, data.blob(digest).stat().st_size) for digest in (config, *layers)]
    # An engine that created the plugin keeps the digest of its manifest, but not the bytes.
    content = manifest_as_pushed(sizes[0], sizes[1:])
    if Digest.of(content) == record.manifest:
        return Manifest.parse(content, media_types.DOCKER_MANIFEST)
    described = [Descriptor(media_types.DOCKER_LAYER_GZIP, digest, size_bytes) for digest, size_bytes in sizes[1:]]
    return plugin_manifest(read_file(data.blob(config), MAX_CONFIG_BYTES), described)


def _are_there(data: EngineData, digests: list[Digest]) -> bool:
    return all(data.blob(digest).is_file() for digest in digests)


def _media_type(content: bytes) -> str:
    """Return the media type of a manifest from its content, because the engine does not store the type."""
    said = parse_json_object(content).get("mediaType")
    return said if isinstance(said, str) else media_types.DOCKER_MANIFEST


def _files(data: EngineData, record: EngineRecord, stack: ExitStack) -> list[TreeEntry]:
    """Return the files of a plugin as they were before the engine enabled the plugin.

    Args:
        data: the data root.
        record: the plugin.
        stack: closes the files.

    Raises:
        ConfigurationFault: the process does not run as root, or a file cannot be read.
        ManifestInvalid: the plugin has no files.
    """
    if os.geteuid() != 0:
        raise ConfigurationFault(
            "only root can read the files of a plugin with their owners; fix: run this command as root"
        )
    rootfs = data.rootfs(record)
    with reading(rootfs):
        root = open_folder(rootfs)
    stack.callback(os.close, root)
    # Enabling adds mount points for the socket and the mounts of the plugin to its files.
    config = PluginConfig.parse(record.document.encode())
    entries = without_additions(read_folder(root, rootfs, stack, owners=True).entries, config)
    # The root folder itself is one entry.
    if len(entries) < 2:
        raise ManifestInvalid(f"{rootfs} holds no files")
    return entries
