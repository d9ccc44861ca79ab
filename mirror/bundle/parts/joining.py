"""Join of the parts of a bundle into one file."""

from __future__ import annotations

from pathlib import Path

import aiofiles
import aiofiles.os
from aiofiles.threadpool.binary import AsyncBufferedIOBase

from mirror.bundle.bundle_errors import BundleIncomplete, BundleInvalid
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.format.output_file import put_in_place, sync_file, writing_file
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.range_copy import copy_range, digest_of_range
from mirror.oci.errors import ConfigurationFault
from mirror.transfer.progress_reporting import Progress, SilentProgress


async def join_bundle(source: PartsSource, path: Path, progress: Progress) -> None:
    """Write the whole bundle. Each part is compared with its digest in the table.

    The parts may come in several runs, in any order: parts that are here are written to their places in
    ``PATH.joining``, and the last run gives the file its name. A file that was joined before stays.
    A cancellation leaves ``PATH.joining`` for the next run.

    Args:
        source: the parts.
        path: path of the new file.
        progress: told about the copied bytes.

    Raises:
        BundleIncomplete: a part is missing.
        BundleInvalid: a part is damaged.
        ConfigurationFault: the file exists, with other bytes.
        StorageFull: the file does not fit.
        StorageFault: a part cannot be read, or the file cannot be written.
    """
    if await aiofiles.os.path.exists(path):
        if await _is_joined(source, await FileSource.open(path), progress):
            return
        raise ConfigurationFault(f"{path} exists, with other bytes; fix: remove it, or choose another file with -o")
    partial = path.with_name(f"{path.name}.joining")
    progress.expect(source.size_bytes)
    with writing_file(path):
        is_new = not await aiofiles.os.path.exists(partial)
        async with aiofiles.open(partial, "ab"):
            pass  # the file exists from here on
        async with aiofiles.open(partial, "r+b") as file:
            await file.truncate(source.size_bytes)
            missing, damaged = await _fill(source, None if is_new else partial, file, progress)
            await sync_file(file)
        if not missing and not damaged:
            await put_in_place(partial, path)
            return
    count = len(source.table.parts)
    told = "; ".join([*damaged, *missing])
    told = f"{told}. {count - len(missing) - len(damaged)} of {count} parts are joined in {partial}"
    if damaged:
        raise BundleInvalid(f"{told}; fix: copy the damaged parts again, and run the same command")
    raise BundleIncomplete(f"{told}; fix: name the folders of the others with --parts, and run the same command")


async def _is_joined(source: PartsSource, file: FileSource, progress: Progress) -> bool:
    """Return True if a file has the bytes that the table of the parts says."""
    if file.size_bytes != source.size_bytes:
        return False
    progress.expect(file.size_bytes)
    for part in source.table.parts:
        if await digest_of_range(file, part.start_bytes, part.size_bytes, progress) != part.digest:
            return False
    return True


async def _fill(
    source: PartsSource, earlier: Path | None, file: AsyncBufferedIOBase, progress: Progress
) -> tuple[list[str], list[str]]:
    """Write the parts to their places.

    Args:
        source: the parts.
        earlier: the same file if an earlier run wrote to it, to be compared with the table; None for a new file.
        file: the file.
        progress: told about the copied bytes.

    Returns:
        The missing parts and the damaged parts, as text for messages.
    """
    missing: list[str] = []
    damaged: list[str] = []
    for number, part in enumerate(source.table.parts, start=1):
        place = part.start_bytes, part.size_bytes
        if earlier is not None:
            written = await digest_of_range(FileSource(earlier, source.size_bytes), *place, SilentProgress())
            if written == part.digest:
                progress.advance(part.size_bytes)
                continue
        if number not in source.files:
            missing.extend(source.missing(*place))
            continue
        await file.seek(part.start_bytes)
        if await copy_range(source, *place, file, progress) != part.digest:
            damaged.append(f"{source.table.label(number)} is damaged: {source.files[number]}")
        await file.flush()
    return missing, damaged
