"""A plugin as the folder that ``docker plugin create`` takes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mirror.authoring.files.extract import Extraction, remove_folder
from mirror.authoring.files.layer_sources import LayerSource, flattened
from mirror.authoring.files.safe_files import (
    PIECE_BYTES,
    FileSpan,
    open_folder,
    temporary_file,
    write_temporary,
    writing,
)
from mirror.authoring.inspect import kind_of
from mirror.authoring.pack import CONFIG, ROOTFS
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES
from mirror.plugin.rootfs.tree import TreeEntry
from mirror.registry.port import Reader
from mirror.runtime.concurrency.threads import in_thread, stepped
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was unpacked.

    Attributes:
        manifest: of the plugin.
        entries: files, folders and links in ``rootfs``, itself among them.
        notes: sentences for whoever will use the folder.
    """

    manifest: Manifest
    entries: int
    notes: tuple[str, ...]


async def unpack(
    reader: Reader, repository: Repository, target: Tag | Digest, folder: Path, progress: Progress
) -> Unpacked:
    """Give back the folder that a plugin can be created of: its config.json, byte for byte, and ``rootfs``.

    As root everything gets its numeric owner; else it belongs to who runs this.

    Args:
        reader: where the plugin is.
        repository, target: its name there.
        folder: where it goes; absent or empty. It comes into being whole, at the end.
        progress: told how many bytes are done.

    Raises:
        ConfigurationFault: ``folder`` holds something.
        ManifestInvalid: it is no plugin, or one that engines could not unpack.
        StorageFault: it cannot be written. And what the reader raises. Nothing is left then.
    """
    await in_thread(_require_empty, folder)
    manifest = await reader.get_manifest(repository, target)
    if manifest.config is None or not manifest.is_plugin:
        raise ManifestInvalid(f"{repository}: {target} is an {kind_of(manifest)}, no plugin")
    with ExitStack() as stack:
        config = (await _fetched(reader, repository, manifest.config, stack, progress)).read(MAX_CONFIG_BYTES)
        layers = [
            LayerSource(await _fetched(reader, repository, layer, stack, progress), layer.digest)
            for layer in manifest.layers
        ]
        entries = await flattened(layers, stack, progress)
        with _whole(folder) as temporary:
            notes = await _fill(temporary, config, entries, progress)
    return Unpacked(manifest, len(entries), notes)


async def _fetched(
    reader: Reader, repository: Repository, blob: Descriptor, stack: ExitStack, progress: Progress
) -> FileSpan:
    """A blob in a file without a name, which the stack closes."""
    spool = temporary_file(stack)
    progress.expect(blob.size_bytes)
    gathered = bytearray()

    async with reader.open_blob(repository, blob.digest) as content:
        if content.size_bytes != blob.size_bytes:
            raise ManifestInvalid(
                f"{blob.digest} has {content.size_bytes} bytes, and the manifest says {blob.size_bytes}"
            )
        async for chunk in content:
            gathered += chunk
            if len(gathered) >= PIECE_BYTES:
                await in_thread(write_temporary, spool, gathered)
                progress.advance(len(gathered))
                gathered.clear()
    await in_thread(write_temporary, spool, gathered)
    progress.advance(len(gathered))
    return FileSpan(spool.fileno(), 0, blob.size_bytes, str(blob.digest))


async def _fill(folder: Path, config: bytes, entries: list[TreeEntry], progress: Progress) -> tuple[str, ...]:
    """Write the files; gives what there is to say of them."""
    with writing(folder):
        rootfs = folder / ROOTFS
        await in_thread((folder / CONFIG).write_bytes, config)
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
            "not run as root, so every file belongs to you, and will in a plugin that is created of this folder"
        )
    if extraction.devices_left_out:
        notes.append(f"device nodes are left out, which takes root to make: {extraction.devices_left_out}")
    if extraction.xattrs_left_out:
        notes.append(f"extended attributes could not be set here: {extraction.xattrs_left_out}")
    return tuple(notes)


def _require_empty(folder: Path) -> None:
    try:
        held = next(folder.iterdir(), None)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationFault(f"{folder} cannot be filled: {error.strerror}") from error
    if held is not None:
        raise ConfigurationFault(f"{folder} is not empty: name a folder that is, or that does not exist")


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder beside another one, which gets its name when the block ends well, and else is removed."""
    place = folder.absolute()
    with writing(folder):
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        yield temporary
        with writing(folder):
            temporary.chmod(0o755)
            temporary.rename(place)
    except BaseException:
        remove_folder(temporary)
        raise
