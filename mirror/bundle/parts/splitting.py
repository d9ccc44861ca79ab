"""Split of a bundle into parts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiofiles.os

from mirror.bundle.format.bundle_head import read_head
from mirror.bundle.format.byte_source import ByteSource, FileSource
from mirror.bundle.format.output_file import require_free, write_document, writing_file
from mirror.bundle.parts.parts_table import Part, PartsTable, bundle_of_part, planned_parts, table_name
from mirror.bundle.parts.range_copy import digest_of_range, write_range
from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.progress_reporting import Progress, SilentProgress


async def split_bundle(
    source: ByteSource, bundle: str, folder: Path, part_bytes: int, progress: Progress
) -> tuple[Path, PartsTable]:
    """Write the parts of a bundle, and then their table.

    A part that is there already, from a split that was interrupted, is compared and kept. After a cancellation, whole
    parts stay, and at most one unfinished file ``….partial``.

    Args:
        source: the bundle.
        bundle: file name of the bundle, which the names of the parts begin with.
        folder: folder for the parts. Created if it does not exist.
        part_bytes: size of each part but the last.
        progress: told about the copied bytes.

    Returns:
        The path of the table, and the table.

    Raises:
        BundleInvalid: the source is not a bundle, or there would be too many parts.
        ConfigurationFault: the folder has parts of another bundle or of another split.
        StorageFull: the parts do not fit.
        StorageFault: the source cannot be read, or a part cannot be written.
    """
    head = await read_head(source)
    planned = planned_parts(bundle, source.size_bytes, part_bytes)
    with writing_file(folder):
        await aiofiles.os.makedirs(folder, exist_ok=True)
        held = {name: await _size_of(folder / name) for name in await aiofiles.os.listdir(folder)}
    sizes = {name: size for name, _, size in planned}
    for name, size in held.items():
        if bundle_of_part(name) == bundle and size != sizes.get(name):
            raise _of_another_split(folder / name)
    missing = sum(size for name, size in sizes.items() if name not in held)
    await in_thread(require_free, folder, missing, "the parts need", "choose another folder with -o")
    progress.expect(source.size_bytes)
    parts = []
    for name, start, size in planned:
        copy = _compared if name in held else write_range
        parts.append(Part(name, start, size, await copy(source, start, size, folder / name, progress)))
    table = PartsTable(head.envelope.digest, part_bytes, tuple(parts))
    table_file = folder / table_name(bundle)
    await write_document(table_file, table.to_bytes())
    return table_file, table


async def _compared(source: ByteSource, start: int, size: int, path: Path, progress: Progress) -> Digest:
    digest, held = await asyncio.gather(
        digest_of_range(source, start, size, progress),
        digest_of_range(FileSource(path, size), 0, size, SilentProgress()),
    )
    if digest != held:
        raise _of_another_split(path)
    return digest


async def _size_of(path: Path) -> int:
    return (await aiofiles.os.stat(path, follow_symlinks=False)).st_size


def _of_another_split(path: Path) -> ConfigurationFault:
    return ConfigurationFault(
        f"{path} is part of another split or another bundle; fix: remove it, or choose another folder with -o"
    )
