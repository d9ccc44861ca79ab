"""Opening of a bundle: one file, or parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aiofiles
import aiofiles.os

from mirror.bundle.bundle_errors import BundleIncomplete, BundleInvalid
from mirror.bundle.format.byte_source import ByteSource, FileSource
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.parts_table import (
    MOST_TABLE_BYTES,
    PartsTable,
    bundle_of_part,
    bundle_of_table,
    table_name,
)
from mirror.oci.errors import ConfigurationFault


async def open_source(path: Path, folders: Sequence[Path] = ()) -> ByteSource:
    """Open a bundle.

    Args:
        path: the file of the bundle, its table of parts, one of its parts, or the path that the whole file would have.
        folders: folders that may have parts, beside the folder of ``path``.

    Raises:
        ConfigurationFault: there is no such file, or the file cannot be read.
        BundleIncomplete: the table of the parts is missing.
        BundleInvalid: the table of the parts is invalid.
    """
    bundle = bundle_of_table(path.name) or bundle_of_part(path.name)
    if bundle is None:
        if await aiofiles.os.path.exists(path):
            return await FileSource.open(path)
        bundle = path.name
    places = list(dict.fromkeys((path.parent, *folders)))
    tables = [place / table_name(bundle) for place in places]
    for table_file in tables:
        if await aiofiles.os.path.exists(table_file):
            return await PartsSource.open(table_file, await read_table(table_file), places)
    if bundle_of_part(path.name) is None and not await _has_parts(places, bundle):
        raise ConfigurationFault(f"{path} cannot be read: No such file or directory; fix: correct the path")
    raise BundleIncomplete(
        f"the table of the parts of {bundle} is missing: there is no {' and no '.join(map(str, tables))}; "
        f"fix: copy {table_name(bundle)} beside the parts, from where the bundle was split"
    )


async def _has_parts(folders: Sequence[Path], bundle: str) -> bool:
    for folder in folders:
        try:
            names = await aiofiles.os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigurationFault(f"{folder} cannot be read: {error.strerror}") from error
        if any(bundle_of_part(name) == bundle for name in names):
            return True
    return False


async def read_table(table_file: Path) -> PartsTable:
    """Return the table of parts in a file.

    Raises:
        ConfigurationFault: the file cannot be read.
        BundleInvalid: the file is not a table of parts.
    """
    if await aiofiles.os.path.exists(table_file) and not await aiofiles.os.path.isfile(table_file):
        raise ConfigurationFault(f"{table_file} is a folder, pipe or device; fix: name a file")
    try:
        async with aiofiles.open(table_file, "rb") as file:
            content = await file.read(MOST_TABLE_BYTES + 1)
    except OSError as error:
        raise ConfigurationFault(f"{table_file} cannot be read: {error.strerror}") from error
    if len(content) > MOST_TABLE_BYTES:
        raise BundleInvalid(f"{table_file} is not a table of parts: it is larger than {MOST_TABLE_BYTES} bytes")
    return PartsTable.parse(content, str(table_file))
