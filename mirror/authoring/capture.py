"""Copy an installed plugin out of a Docker Engine, under any name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror.authoring.capturing.engine_data import EngineBlobs, EngineData
from mirror.authoring.capturing.file_times import FileTimes
from mirror.authoring.capturing.live_files import LiveFiles
from mirror.authoring.files.folder_tree import FolderWalk
from mirror.authoring.files.safe_files import open_folder, read_file, reading
from mirror.authoring.naming import config_notes, notes_on_name
from mirror.authoring.pack import content_bytes, pack_tree
from mirror.oci import Descriptor, Digest, Manifest, Tag, media_types
from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.oci.manifest import MAX_MANIFEST_BYTES, parse_json_object
from mirror.oci.printable_text import printable_ascii
from mirror.plugin.build.assembly import ConfigDocument, plugin_manifest
from mirror.plugin.build.enabled_files import without_additions
from mirror.plugin.build.engine_record import EngineRecord, manifest_as_pushed
from mirror.plugin.build.host_settings import ambiguous_settings, host_settings, is_published
from mirror.plugin.config.own_name import local_name
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.rootfs.tree import TreeEntry
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import Progress

#: Most names in one note.
_MOST_LISTED: Final = 20
#: Number of attempts to list the files of a running plugin.
_MOST_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Captured:
    """A plugin that was captured.

    Attributes:
        record: the engine's record of the plugin.
        manifest: the manifest that was stored.
        verbatim: True if the blobs in the engine were copied. False if the plugin was built from its files.
        settings: values that were set on the host, as ``KEY=VALUE`` for an install of the captured plugin.
        notes: sentences for the user.
    """

    record: EngineRecord
    manifest: Manifest
    verbatim: bool
    settings: tuple[str, ...]
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
        document = await in_thread(_document, data, manifest.config.digest if manifest.config else None)
        origin = CopySource(EngineBlobs(data, manifest), destination.repository)
        # An OCI layout file is written from start to end, so it accepts one blob at a time.
        await copy_graph(origin, manifest.digest, destination, [tag], progress, blobs_at_once=1)
        settings, notes = _settings(record, document)
        if record.manifest != manifest.digest:
            notes.insert(
                0, "the engine does not have the manifest of the plugin, so the copy has a new manifest and digest"
            )
        notes += await notes_on_name(origin.registry, origin.repository, manifest, tag)
        return Captured(record, manifest, verbatim=True, settings=settings, notes=tuple(notes))
    published = await in_thread(_published, data, record)
    settings, noted = _settings(record, published)
    live = LiveFiles()
    with ExitStack() as stack:
        entries = await in_thread(_files, data, record, stack)
        document = published or record.document
        progress.expect(content_bytes(entries))
        packed = await pack_tree(document, live.opened(entries), destination, tag, progress, latest_seconds=0)
    notes = [
        "the engine no longer has all blobs of the plugin, so the copy was built from its files",
        *packed.notes,
        *noted,
        *_changed(live),
    ]
    if record.enabled:
        notes.append(
            "the plugin is enabled, so files that it has written are in the copy; fix: disable the plugin first"
        )
    notes += config_notes(packed.plugin.config, local_name(destination.repository.name, tag.name))
    return Captured(record, packed.plugin.manifest, verbatim=False, settings=settings, notes=tuple(notes))


def _document(data: EngineData, digest: Digest | None) -> ConfigDocument | None:
    """Return a configuration in the blobs of an engine, or None if the engine does not have the blob."""
    if digest is None or not data.blob(digest).is_file():
        return None
    content = read_file(data.blob(digest), MAX_CONFIG_BYTES)
    try:
        document = ConfigDocument.parse(content)
    except ManifestInvalid:
        return None
    # The engine that created the plugin added DockerVersion. A new plugin gets its own.
    return document.without_member("DockerVersion") if Digest.of(content) == digest else None


def _published(data: EngineData, record: EngineRecord) -> ConfigDocument | None:
    """Return the configuration as it was published, or None if the engine no longer has it."""
    document = _document(data, record.config)
    # After an upgrade, the record may still name the configuration of the old version.
    is_its_own = document is not None and is_published(_parsed(record.document), _parsed(document))
    return document if is_its_own else None


def _parsed(document: ConfigDocument) -> PluginConfig:
    return PluginConfig.parse(document.encode())


def _settings(record: EngineRecord, published: ConfigDocument | None) -> tuple[tuple[str, ...], list[str]]:
    """Return the settings of the host as ``KEY=VALUE``, and notes about settings that are not among them."""
    config = _parsed(published or record.document)
    found = host_settings(record.values, config)
    notes = []
    if published is None and (keys := ambiguous_settings(config)):
        notes.append(
            f"the engine no longer has the original configuration, so the values of {_listed(keys)} on this host are "
            "the defaults and privileges of the copy: the engine's record does not tell them from the original defaults"
        )
    if found.left_over:
        notes.append(
            f"this host still uses values of an earlier version that the plugin does not accept as settings: "
            f"{_listed(found.left_over)}"
        )
    if found.not_passed:
        notes.append(
            f"the plugin was upgraded, so this host does not pass {_listed(found.not_passed)}; the copy has defaults "
            "for them"
        )
    return found.changes, notes


def _changed(live: LiveFiles) -> Iterator[str]:
    """Yield notes about files that the plugin changed while they were read."""
    if live.gone:
        yield f"files that were removed while the plugin was captured are not in the copy: {_listed(live.gone)}"
    if live.cut:
        yield (
            f"files became shorter while they were read, so they end with zeros in the copy: {_listed(live.cut)}; "
            "fix: disable the plugin and capture it again"
        )


def _listed(names: Sequence[str]) -> str:
    """Return names as one text for a note, at most :data:`_MOST_LISTED` of them."""
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"{', '.join(printable_ascii(name) for name in names[:_MOST_LISTED])}{more}"


def _manifest_in_blobs(data: EngineData, record: EngineRecord) -> Manifest | None:
    """Return a manifest whose blobs the engine has completely, or None if a blob is missing."""
    if record.manifest is not None and data.blob(record.manifest).is_file():
        content = read_file(data.blob(record.manifest), MAX_MANIFEST_BYTES)
        manifest = Manifest.parse(content, _media_type(content), record.manifest)
    elif record.config is not None and record.layers is not None:
        if not _are_there(data, [record.config, *record.layers]) or _published(data, record) is None:
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
    entries = without_additions(_entries(root, rootfs, stack), _parsed(record.document), FileTimes(root).made_here)
    # The root folder itself is one entry.
    if len(entries) < 2:
        raise ManifestInvalid(f"{rootfs} holds no files")
    return entries


def _entries(root: int, rootfs: Path, stack: ExitStack) -> list[TreeEntry]:
    """List a folder whose files may disappear at any time."""
    for _ in range(_MOST_TRIES - 1):
        try:
            return list(FolderWalk(root, rootfs, stack, owners=True).packed_entries())
        except ConfigurationFault as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
    return list(FolderWalk(root, rootfs, stack, owners=True).packed_entries())
