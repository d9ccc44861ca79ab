"""An installed plugin taken out of a Docker Engine, under any name."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mirror.authoring.engine_data import EngineBlobs, EngineData
from mirror.authoring.files.folder_tree import read_folder
from mirror.authoring.files.safe_files import open_folder, read_file, reading
from mirror.authoring.pack import pack_tree
from mirror.oci import Descriptor, Digest, Manifest, Tag, media_types
from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.oci.manifest import MAX_MANIFEST_BYTES, parse_json_object
from mirror.plugin.build.assembly import plugin_manifest
from mirror.plugin.build.engine_record import EngineRecord, manifest_as_pushed, without_additions
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.rootfs.tree import TreeEntry
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.copy_engine import CopyDestination, CopySource, copy_graph
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True)
class Captured:
    """What was taken.

    Attributes:
        record: the plugin, as its engine has it.
        manifest: what was stored.
        verbatim: whether it came in the very blobs that it was installed from; else it was built of its files.
        notes: sentences for whoever took it.
    """

    record: EngineRecord
    manifest: Manifest
    verbatim: bool
    notes: tuple[str, ...]


async def capture(root: Path, plugin: str, destination: CopyDestination, tag: Tag, progress: Progress) -> Captured:
    """Take an installed plugin out of an engine, which may be running.

    Where the engine still has every blob of the plugin, those are copied, byte for byte. Else it is built anew of its
    configuration and files, without what enabling has added to them. What users have set is no part of either.

    Args:
        root: the engine's data root.
        plugin: name or id of the plugin there.
        destination: where it goes.
        tag: its tag there.
        progress: told how many bytes are done.

    Raises:
        NotFound: there is no such plugin. ConfigurationFault: the data root cannot be read.
        ManifestInvalid: engines could not install what was taken. And what the destination raises.
    """
    data = EngineData(root)
    record = await in_thread(data.find, plugin)
    manifest = await in_thread(_manifest_in_blobs, data, record)
    if manifest is not None:
        origin = CopySource(EngineBlobs(data, manifest), destination.repository)
        await copy_graph(origin, manifest.digest, destination, [tag], progress, blobs_at_once=1)
        is_its_own = record.manifest == manifest.digest
        anew = () if is_its_own else ("the engine does not have its manifest, so it got a new one",)
        return Captured(record, manifest, verbatim=True, notes=anew)
    with ExitStack() as stack:
        entries = await in_thread(_files, data, record, stack)
        packed = await pack_tree(record.document, entries, destination, tag, progress, latest_seconds=0)
    notes = ["the engine does not have all of its blobs any more, so it was built anew of its files", *packed.notes]
    if record.enabled:
        notes.append(
            "it is enabled: what it has written into its files was taken as well; disable it first, if that matters"
        )
    return Captured(record, packed.plugin.manifest, verbatim=False, notes=tuple(notes))


def _manifest_in_blobs(data: EngineData, record: EngineRecord) -> Manifest | None:
    """The manifest that all the blobs of a plugin are there for; None where some are not."""
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
    """A manifest around an engine's blobs: the one that it had, where that can be known, else one of our own."""
    sizes = [(digest, data.blob(digest).stat().st_size) for digest in (config, *layers)]
    content = manifest_as_pushed(sizes[0], sizes[1:])
    if Digest.of(content) == record.manifest:
        return Manifest.parse(content, media_types.DOCKER_MANIFEST)
    described = [Descriptor(media_types.DOCKER_LAYER_GZIP, digest, size_bytes) for digest, size_bytes in sizes[1:]]
    return plugin_manifest(read_file(data.blob(config), MAX_CONFIG_BYTES), described)


def _are_there(data: EngineData, digests: list[Digest]) -> bool:
    return all(data.blob(digest).is_file() for digest in digests)


def _media_type(content: bytes) -> str:
    """The type of a manifest, which the engine does not keep beside it."""
    said = parse_json_object(content).get("mediaType")
    return said if isinstance(said, str) else media_types.DOCKER_MANIFEST


def _files(data: EngineData, record: EngineRecord, stack: ExitStack) -> list[TreeEntry]:
    """The files of a plugin, which the stack closes, as they were before it was enabled."""
    if os.geteuid() != 0:
        raise ConfigurationFault("the owners of a plugin's files are seen by root alone: run this as root")
    rootfs = data.rootfs(record)
    with reading(rootfs):
        root = open_folder(rootfs)
    stack.callback(os.close, root)
    config = PluginConfig.parse(record.document.encode())
    entries = without_additions(read_folder(root, rootfs, stack, owners=True).entries, config)
    if len(entries) < 2:
        raise ManifestInvalid(f"{rootfs} holds no files")
    return entries
