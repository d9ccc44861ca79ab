"""Build a plugin without an engine: a layer, a config and a manifest from a configuration and a tree of files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mirror.authoring.files.folder_tree import FolderWalk
from mirror.authoring.files.layer_sources import flattened
from mirror.authoring.files.layer_writer import LayerWriting
from mirror.authoring.files.plugin_folder import CONFIG, TEMPLATE
from mirror.authoring.files.rootfs_input import RootfsInput, open_rootfs
from mirror.authoring.files.safe_files import open_folder, read_file, reading
from mirror.oci import Descriptor, Digest, Tag
from mirror.oci.errors import ConfigurationFault, ManifestInvalid, MirrorError
from mirror.plugin.build import config_template
from mirror.plugin.build.assembly import AssembledPlugin, ConfigDocument, assemble
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.findings.finding import Finding
from mirror.plugin.findings.finding_table import refusals
from mirror.plugin.lint import manifest_checks
from mirror.plugin.lint.config_checks import check_secrets
from mirror.plugin.lint.placeholders import check_placeholders
from mirror.plugin.rootfs.platform import Platform
from mirror.plugin.rootfs.tree import TreeEntry
from mirror.registry.streams import single_chunk
from mirror.runtime.concurrency.threads import in_thread, stepped
from mirror.transfer.graph.places import CopyDestination
from mirror.transfer.progress_reporting import Progress

ROOTFS: Final = "rootfs"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The input for a build.

    Attributes:
        folder: folder with ``config.json`` or ``config.template``, and with ``rootfs`` unless another one is given.
        rootfs: file or folder that replaces ``rootfs``, see :func:`mirror.authoring.files.rootfs_input.open_rootfs`.
            None for ``rootfs`` in the folder.
        values: values for the placeholders of the template.
        latest_seconds: latest time of a file in the layer, in seconds since 1970. Later times are set to this one.
        owners: True to keep the numeric owners of a folder. False to set every owner to 0:0.
        platforms: platforms of the plugins. Empty for the only platform of the root filesystem.
        measured: True to find the size of a folder first, so that the progress has a total. With many small files, this
            takes a tenth of the time.
    """

    folder: Path
    rootfs: Path | None
    values: Mapping[str, str]
    latest_seconds: int
    owners: bool
    platforms: tuple[Platform, ...] = ()
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Packed:
    """A plugin that was built and stored.

    Attributes:
        tag: tag of the plugin.
        plugin: configuration and manifest.
        tar_bytes: size of the uncompressed layer, in bytes.
        notes: sentences for the user.
    """

    tag: Tag
    plugin: AssembledPlugin
    tar_bytes: int
    notes: tuple[str, ...]


async def pack(recipe: Recipe, destination: CopyDestination, tag: Tag, progress: Progress) -> tuple[Packed, ...]:
    """Build a plugin for each platform and store it.

    The same recipe gives the same bytes at any time and on any machine with the same version of zlib-ng. If the call
    is cancelled or fails, the plugin that is being built gets no tag, and its layer is not kept.

    Args:
        recipe: the input.
        destination: registry and repository that receive the plugin. The layer is uploaded while it is built.
        tag: tag of the plugin. With several platforms, each plugin has this tag with its platform: ``1.0-arm64``.
        progress: receives the number of bytes of files that are done.

    Returns:
        The plugins, in the order of the platforms.

    Raises:
        ConfigurationFault: an input is missing or cannot be read.
        ManifestInvalid: engines cannot install the plugin, or its files do not form a tree.
        MirrorError: any error of the destination.
    """
    document = await in_thread(read_config, recipe.folder, recipe.values)
    left = [
        f"{finding.text}; fix: {finding.fix}" for finding in check_placeholders(PluginConfig.parse(document.encode()))
    ]
    tags = _tags(tag, recipe.platforms)
    built: list[Packed] = []
    with ExitStack() as stack:
        # All platforms are looked for before the first plugin is stored.
        for rootfs, name in zip(await in_thread(_open_rootfs, recipe, stack), tags, strict=True):
            with ExitStack() as files:
                walk: FolderWalk | None = None
                entries: Iterable[TreeEntry]
                if isinstance(rootfs, Path):
                    walk = await in_thread(_walk, rootfs, files, owners=recipe.owners)
                    if recipe.measured:
                        progress.expect(await in_thread(walk.size_bytes))
                    entries = walk.packed_entries()
                else:
                    entries = await flattened(rootfs, files, progress)
                    progress.expect(content_bytes(entries))
                packed = await pack_tree(
                    document, entries, destination, name, progress, latest_seconds=recipe.latest_seconds
                )
                notes = [] if walk is None else _notes(walk, owners=recipe.owners)
            built.append(replace(packed, notes=(*notes, *packed.notes, *left)))
    return tuple(built)


async def pack_tree(
    document: ConfigDocument,
    entries: Iterable[TreeEntry],
    destination: CopyDestination,
    tag: Tag,
    progress: Progress,
    *,
    latest_seconds: int,
) -> Packed:
    """Build a plugin from a configuration and a tree, and store it.

    If the call is cancelled or fails, no tag is set and the layer is not kept.

    Args:
        document: the configuration.
        entries: the tree, which is read once. Its content is not counted for ``progress``: the caller announces it.
        destination: registry and repository that receive the plugin. The layer is uploaded while it is built.
        tag: tag of the plugin.
        progress: receives the number of bytes of files that are done.
        latest_seconds: latest time of a file in the layer, in seconds since 1970.

    Raises:
        ManifestInvalid: engines cannot install the plugin.
        MirrorError: any error of the destination, or of reading the contents of the tree.
    """
    writing = LayerWriting(entries, latest_seconds, progress.advance)
    registry, repository = destination.registry, destination.repository
    # The layer goes straight into the registry, without a second copy on disk (ADR 15). So the checks follow the
    # upload, and a plugin that fails them cancels it.
    upload = await registry.begin_upload(repository)
    try:
        await upload.append(stepped(writing.chunks()))
        plugin = assemble(document, [writing.layer])
        found = manifest_checks.check_plugin(
            plugin.manifest, len(plugin.config), plugin.config, {writing.layer.digest: writing.facts}
        )
        _refuse(found)
        await upload.commit(writing.layer.digest)
        if writing.is_ordinary and destination.layer_written is not None:
            destination.layer_written(writing.layer.digest, writing.facts)
    except BaseException:
        with suppress(MirrorError):  # the first error matters, not a failure of the cleanup
            await upload.cancel()
        raise
    await store_blob(destination, plugin.config)
    advice = await registry.put_manifest(repository, plugin.manifest, [tag])
    secret = (finding.advice for finding in check_secrets(PluginConfig.parse(plugin.config)))
    return Packed(tag, plugin, writing.facts.tar_bytes, (*advice, *secret))


def content_bytes(entries: Iterable[TreeEntry]) -> int:
    """Return the size of all files of a tree together."""
    return sum(entry.node.size_bytes for entry in entries if entry.same_as is None)


async def store_blob(destination: CopyDestination, content: bytes) -> Descriptor:
    """Store a small blob.

    Raises:
        MirrorError: any error of the destination. The upload is cancelled then.
    """
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
    """Return the configuration in a folder.

    ``config.template`` is used and filled if ``values`` is not empty or if there is no ``config.json``.

    Args:
        folder: the folder.
        values: values for the placeholders of the template.

    Raises:
        ConfigurationFault: the folder has no configuration, or placeholders and values do not match.
        ManifestInvalid: engines cannot read the configuration.
    """
    if not folder.is_dir():
        raise ConfigurationFault(f"{folder} is not a folder; fix: name a folder with {CONFIG} and {ROOTFS}/")
    config, blank = folder / CONFIG, folder / TEMPLATE
    is_template = blank.is_file() and (bool(values) or not config.is_file())
    if not is_template and not config.is_file():
        raise ConfigurationFault(f"{folder} has neither {CONFIG} nor {TEMPLATE}; fix: name a folder with one of them")
    if values and not is_template:
        raise ConfigurationFault(
            f"{folder} has no {TEMPLATE} whose placeholders --set can fill; fix: leave out --set, or add the file"
        )
    source = blank if is_template else config
    content = read_file(source, MAX_CONFIG_BYTES)
    try:
        if not is_template:
            return ConfigDocument.parse(content)
        # Only the filled template is a configuration, so it is parsed as a config.json would be.
        filled = ConfigDocument(config_template.fill(content, values))
        return ConfigDocument.parse(filled.encode())
    except (ManifestInvalid, ConfigurationFault) as error:
        # The same class, so that the exit code stays, with the file in front of the message.
        raise type(error)(f"{source}: {error}", **error.detail) from error


def _tags(tag: Tag, platforms: Sequence[Platform]) -> list[Tag]:
    """Return the tags of the plugins. Several plugins have the platform in their tags, because no tag can name two."""
    if len(platforms) <= 1:
        return [tag]
    names = [str(platform).removeprefix("linux/").replace("/", "-") for platform in platforms]
    if len(set(names)) != len(names):
        raise ConfigurationFault("--platform names a platform twice; fix: name each platform once")
    return [Tag(f"{tag}-{name}") for name in names]


def _open_rootfs(recipe: Recipe, stack: ExitStack) -> Sequence[RootfsInput]:
    """Return the root filesystem for each platform of a recipe. The stack closes what is opened."""
    if recipe.rootfs is not None:
        return open_rootfs(recipe.rootfs, recipe.platforms, stack)
    rootfs = recipe.folder / ROOTFS
    if not rootfs.is_dir():
        raise ConfigurationFault(
            f"{recipe.folder} has no {ROOTFS}/; fix: create it, or name an image, a tar or a folder with --rootfs"
        )
    return open_rootfs(rootfs, recipe.platforms, stack) if recipe.platforms else [rootfs]


def _walk(rootfs: Path, stack: ExitStack, *, owners: bool) -> FolderWalk:
    """Return a walk through a folder. The stack closes the folder."""
    with reading(rootfs):
        root = open_folder(rootfs)
    stack.callback(os.close, root)
    return FolderWalk(root, rootfs, stack, owners=owners)


def _notes(walk: FolderWalk, *, owners: bool) -> list[str]:
    """Return notes about a folder that was packed."""
    notes = [] if owners else ["not run as root, so all files in the plugin belong to 0:0"]
    if walk.sockets:
        notes.append(f"sockets were left out, such as {walk.sockets[0]}: {len(walk.sockets)}")
    return notes


def _refuse(found: Sequence[Finding]) -> None:
    if errors := refusals(found):
        reason = "; ".join(finding.sentence for finding in errors)
        raise ManifestInvalid(
            f"the plugin was not packed: {reason}", findings=" ".join(finding.code for finding in errors)
        )
