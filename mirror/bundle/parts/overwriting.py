"""Changes of bytes of a bundle in place, for signatures that are added later."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import aiofiles

from mirror.bundle.bundle_errors import BundleIncomplete, BundleInvalid
from mirror.bundle.format.byte_source import ByteSource
from mirror.bundle.format.output_file import sync_file, write_document, writing_file
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.source_opening import read_table
from mirror.oci.errors import ConfigurationFault


async def overwrite(source: ByteSource, start_bytes: int, content: bytes) -> None:
    """Write bytes into a bundle, and update the table of its parts.

    A run that was interrupted may leave a table with the old digests. The same call repairs the table.

    Args:
        source: the bundle: one file, or parts.
        start_bytes: offset of the first byte to change.
        content: the new bytes.

    Raises:
        BundleIncomplete: a part is missing.
        StorageFault: a file cannot be written.
    """
    if not isinstance(source, PartsSource):
        return await _write(Path(source.name), start_bytes, content)
    missing = source.missing(start_bytes, len(content))
    if missing:
        raise BundleIncomplete(f"{'; '.join(missing)}; fix: name the folder of the part with --parts")
    ranges = list(source.table.ranges(start_bytes, len(content)))
    done = 0
    for piece in ranges:
        await _write(source.files[piece.number], piece.start_bytes, content[done : done + piece.size_bytes])
        done += piece.size_bytes
    digests = {piece.number: await source.digest_of_part(piece.number) for piece in ranges}
    table = source.table.with_digests(digests)
    for folder in source.folders:
        # Each drive may have a copy of the table. A table of another bundle under the same name stays as it is.
        table_file = folder / Path(source.name).name
        with suppress(ConfigurationFault, BundleInvalid):
            copy = await read_table(table_file)
            if (copy.statement, copy.part_bytes) == (table.statement, table.part_bytes):
                await write_document(table_file, table.to_bytes())
    return None


async def _write(path: Path, start_bytes: int, content: bytes) -> None:
    with writing_file(path):
        async with aiofiles.open(path, "r+b") as file:
            await file.seek(start_bytes)
            await file.write(content)
            await sync_file(file)
