"""A plugin built without an engine: a configuration and a tree of files become a layer, a config and a manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror.authoring.files.folder_tree import read_folder
from mirror.authoring.files.layer_sources import flattened
from mirror.authoring.files.layer_writer import LayerWriting
from mirror.authoring.files.safe_files import open_folder, read_file, reading
from mirror.authoring.files.saved_image import image_layers
from mirror.oci import Descriptor, Digest, Tag
from mirror.oci.errors import ConfigurationFault, ManifestInvalid, MirrorError
from mirror.plugin.build import config_template
from mirror.plugin.build.assembly import AssembledPlugin, ConfigDocument, assemble
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES
from mirror.plugin.lint import manifest_checks
from mirror.plugin.lint.findings import Finding, Severity
from mirror.plugin.rootfs.tree import TreeEntry
from mirror.registry.streams import single_chunk
from mirror.runtime.concurrency.threads import in_thread, stepped
from mirror.transfer.copy_engine import CopyDestination
from mirror.transfer.progress_reporting import Progress

CONFIG: Final = "config.json"
TEMPLATE: Final = "config.template"
ROOTFS: Final = "rootfs"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a plugin is built from.

    Attributes:
        folder: holds ``config.json`` or ``config.template``, and ``rootfs``.
        image: the root filesystem, where it is not ``rootfs``: an image file or layout, see
            :mod:`mirror.authoring.files.saved_image`.
        values: what stands for the placeholders of the template.
        latest_seconds: no time in the layer is later, in seconds since 1970.
        owners: whether the numeric owners of ``rootfs`` are kept; else everything belongs to 0:0.
    """

    folder: Path
    image: Path | None
    values: Mapping[str, str]
    latest_seconds: int
    owners: bool


@dataclass(frozen=True, slots=True)
class Packed:
    """What was built and stored.

    Attributes:
        plugin: configuration and manifest.
        tar_bytes: size of its files, as a tar.
        notes: sentences for whoever built it.
    """

    plugin: AssembledPlugin
    tar_bytes: int
    notes: tuple[str, ...]


async def pack(recipe: Recipe, destination: CopyDestination, tag: Tag, progress: Progress) -> Packed:
    """Build a plugin and store it.

    The same recipe gives the same bytes, whenever and wherever it is followed with the same version of zlib-ng.

    Args:
        recipe: what it is built from.
        destination: where it goes; the layer is written there while it is made.
        tag: its tag there.
        progress: told how many bytes of files are done.

    Raises:
        ConfigurationFault: something that it is built from is not there, or cannot be read.
        ManifestInvalid: engines could not install the plugin, or its files make no tree.
        And what the destination raises. Nothing is tagged then, and the layer is not kept.
    """
    document = await in_thread(read_config, recipe.folder, recipe.values)
    with ExitStack() as stack:
        if recipe.image is None:
            entries, notes = await in_thread(_read_rootfs, recipe, stack)
        else:
            layers = await in_thread(image_layers, recipe.image, stack)
            entries, notes = await flattened(layers, stack, progress), []
        packed = await pack_tree(document, entries, destination, tag, progress, latest_seconds=recipe.latest_seconds)
    return Packed(packed.plugin, packed.tar_bytes, (*notes, *packed.notes))


async def pack_tree(
    document: ConfigDocument,
    entries: Sequence[TreeEntry],
    destination: CopyDestination,
    tag: Tag,
    progress: Progress,
    *,
    latest_seconds: int,
) -> Packed:
    """Build a plugin of what was read, and store it. Arguments and errors as for :func:`pack`."""
    progress.expect(sum(entry.node.size_bytes for entry in entries if entry.same_as is None))
    writing = LayerWriting(entries, latest_seconds, progress.advance)
    registry, repository = destination.registry, destination.repository
    upload = await registry.begin_upload(repository)
    try:
        await upload.append(stepped(writing.chunks()))
        plugin = assemble(document, [writing.layer])
        found = manifest_checks.check_plugin(
            plugin.manifest, len(plugin.config), plugin.config, {writing.layer.digest: writing.facts}
        )
        _refuse(found)
        await upload.commit(writing.layer.digest)
    except BaseException:
        with suppress(MirrorError):  # what went wrong before is what must be told
            await upload.cancel()
        raise
    await store_blob(destination, plugin.config)
    advice = await registry.put_manifest(repository, plugin.manifest, [tag])
    return Packed(plugin, writing.facts.tar_bytes, advice)


async def store_blob(destination: CopyDestination, content: bytes) -> Descriptor:
    """Store a small blob. Raises what the destination raises."""
    digest = Digest.of(content)
    upload = await destination.registry.begin_upload(destination.repository)
    try:
        await upload.append(single_chunk(content))
        return await upload.commit(digest)
    except BaseException:
        with suppress(MirrorError):
            await upload.cancel()
        raise


def read_config(folder: Path, values: Mapping[str, str]) -> ConfigDocument:
    """The configuration that a folder holds, its template filled.

    ``config.template`` is used where there are values for it, or no ``config.json``.

    Raises:
        ConfigurationFault: there is none, or placeholders and values do not match.
        ManifestInvalid: engines could not read it.
    """
    if not folder.is_dir():
        raise ConfigurationFault(f"{folder} is no folder: name one that holds {CONFIG} and {ROOTFS}/")
    config, blank = folder / CONFIG, folder / TEMPLATE
    is_template = blank.is_file() and (bool(values) or not config.is_file())
    if not is_template and not config.is_file():
        raise ConfigurationFault(f"{folder} holds neither {CONFIG} nor {TEMPLATE}")
    if values and not is_template:
        raise ConfigurationFault(f"{folder} holds no {TEMPLATE} for --set to fill")
    source = blank if is_template else config
    content = read_file(source, MAX_CONFIG_BYTES)
    try:
        if not is_template:
            return ConfigDocument.parse(content)
        filled = ConfigDocument(config_template.fill(content, values))
        return ConfigDocument.parse(filled.encode())
    except (ManifestInvalid, ConfigurationFault) as error:
        raise type(error)(f"{source}: {error}", **error.detail) from error


def _read_rootfs(recipe: Recipe, stack: ExitStack) -> tuple[list[TreeEntry], list[str]]:
    """The files in a recipe's folder, and what there is to say of them. The stack closes the folder."""
    rootfs = recipe.folder / ROOTFS
    if not rootfs.is_dir():
        raise ConfigurationFault(f"{recipe.folder} holds no {ROOTFS}/: make it, or name an image file with --rootfs")
    with reading(rootfs):
        root = open_folder(rootfs)
    stack.callback(os.close, root)
    found = read_folder(root, rootfs, stack, owners=recipe.owners)
    notes = [] if recipe.owners else ["not run as root, so every file in the plugin belongs to 0:0"]
    if found.sockets:
        notes.append(f"sockets are left out, such as {found.sockets[0]}: {len(found.sockets)}")
    return found.entries, notes


def _refuse(found: Sequence[Finding]) -> None:
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    if errors:
        reason = "; ".join(finding.sentence for finding in errors)
        raise ManifestInvalid(f"not packed: {reason}", findings=" ".join(finding.code for finding in errors))
