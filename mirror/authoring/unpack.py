"""Write a plugin as a folder for ``docker plugin create``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mirror.authoring.files.extract import Extraction, remove_folder
from mirror.authoring.files.layer_sources import LayerSource, flattened
from mirror.authoring.files.plugin_folder import CONFIG
from mirror.authoring.files.safe_files import (
    PIECE_BYTES,
    FileSpan,
    open_folder,
    temporary_file,
    write_temporary,
    writing,
)
from mirror.authoring.naming import config_notes
from mirror.authoring.pack import ROOTFS
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.plugin.config.own_name import local_name
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES
from mirror.plugin.rootfs.tree import TreeEntry
from mirror.registry.port import Reader
from mirror.runtime.concurrency.threads import in_thread, stepped
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A plugin that was unpacked.

    Attributes:
        manifest: manifest of the plugin.
        entries: number of files, folders and links in ``rootfs``, including ``rootfs`` itself.
        notes: sentences for the user.
    """

    manifest: Manifest
    entries: int
    notes: tuple[str, ...]


async def unpack(
    reader: Reader, repository: Repository, target: Tag | Digest, folder: Path, progress: Progress
) -> Unpacked:
    """Write a plugin as a folder: its ``config.json``, byte for byte, and ``rootfs``.

    For root, all files get their numeric owners. For other users, all files belong to the user. The folder appears
    complete, when everything is written. If the call is cancelled or fails, nothing is left behind.

    Args:
        reader: registry of the plugin.
        repository: repository of the plugin.
        target: tag or digest of the plugin.
        folder: folder to write. It must be empty or must not exist.
        progress: receives the number of bytes that are done.

    Raises:
        ConfigurationFault: ``folder`` is not empty.
        ManifestInvalid: the content is not a plugin, or engines cannot unpack it.
        StorageFault: the folder cannot be written.
        MirrorError: any error of the reader.
    """
    await in_thread(_require_empty, folder)
    manifest = await reader.get_manifest(repository, target)
    if manifest.config is None or not manifest.is_plugin:
        raise ManifestInvalid(f"{repository}: {target} is an {manifest.kind}, not a plugin")
    # All blobs are fetched first: entries of a later layer may hide or replace those of an earlier one.
    with ExitStack() as stack:
        config = (await _fetched(reader, repository, manifest.config, stack, progress)).read(MAX_CONFIG_BYTES)
        layers = [
            LayerSource(await _fetched(reader, repository, layer, stack, progress), layer.digest)
            for layer in manifest.layers
        ]
        entries = await flattened(layers, stack, progress)
        with _whole(folder) as temporary:
            notes = await _fill(temporary, config, entries, progress)
    # The plugin is created under this name, see the command that is printed.
    name = local_name(repository.name, target.name if isinstance(target, Tag) else "latest")
    return Unpacked(manifest, len(entries), (*notes, *config_notes(config, name, created=True)))


async def _fetched(
    reader: Reader, repository: Repository, blob: Descriptor, stack: ExitStack, progress: Progress
) -> FileSpan:
    """Copy a blob into an unnamed temporary file, which the stack closes."""
    spool = temporary_file(stack)
    progress.expect(blob.size_bytes)
    gathered = bytearray()

    async with reader.open_blob(repository, blob.digest, None, blob.size_bytes) as content:
        if content.size_bytes != blob.size_bytes:
            raise ManifestInvalid(
                f"{blob.digest} has {content.size_bytes} bytes instead of {blob.size_bytes} as in the manifest"
            )
        async for chunk in content:
            gathered += chunk
            # Chunks are gathered to 1 MiB, so that few hops into a thread are needed.
            if len(gathered) >= PIECE_BYTES:
                await in_thread(write_temporary, spool, gathered)
                progress.advance(len(gathered))
                gathered.clear()
    await in_thread(write_temporary, spool, gathered)
    progress.advance(len(gathered))
    return FileSpan(spool.fileno(), 0, blob.size_bytes, str(blob.digest))


async def _fill(folder: Path, config: bytes, entries: list[TreeEntry], progress: Progress) -> tuple[str, ...]:
    """Write the files of a plugin into a folder, and return notes about them."""
    with writing(folder):
        rootfs = folder / ROOTFS
        await in_thread((folder / CONFIG).write_bytes, config)
        # Only this user may enter until the modes are set at the end.
        await in_thread(rootfs.mkdir, 0o700)
        root = open_folder(rootfs)
    is_root = os.geteuid() == 0
    progress.expect(sum(entry.node.size_bytes for entry in entries if entry.same_as is None))
    extraction = Extraction(entries, root, rootfs, owners=is_root)
    try:
        async for size_bytes in stepped(extraction.steps()):
            progress.advance(size_bytes)
    finally:
        os.close(root)
    notes = []
    if not is_root:
        notes.append(
            "not run as root, so all files belong to you, also in a plugin that is created from this folder; "
            "fix: run this command as root"
        )
    if extraction.devices_left_out:
        notes.append(f"device nodes were left out, because only root can create them: {extraction.devices_left_out}")
    if extraction.xattrs_left_out:
        notes.append(f"extended attributes could not be set: {extraction.xattrs_left_out}")
    return tuple(notes)


def _require_empty(folder: Path) -> None:
    try:
        held = next(folder.iterdir(), None)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationFault(f"{folder} cannot be written: {error.strerror}") from error
    if held is not None:
        raise ConfigurationFault(f"{folder} is not empty; fix: name an empty folder, or one that does not exist")


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Create a temporary folder beside ``folder``.

    The temporary folder is renamed to ``folder`` if the block succeeds, and removed otherwise.
    """
    place = folder.absolute()
    with writing(folder):
        # Beside the folder, hence on the same filesystem, so that it can be renamed.
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        yield temporary
        with writing(folder):
            temporary.chmod(0o755)  # mkdtemp allows only this user
            temporary.rename(place)
    except BaseException:
        remove_folder(temporary)
        raise
