"""Small files that a user names: read within a limit, and written under names that are new."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aiofiles
import aiofiles.os

from mirror.bundle.format.output_file import sync_file, writing_file
from mirror.oci.errors import ConfigurationFault, StorageFault


async def read_small_file(path: Path, most_bytes: int) -> bytes:
    """Return the content of a file that a user named.

    Raises:
        ConfigurationFault: the file cannot be read, or is larger than ``most_bytes``.
    """
    try:
        async with aiofiles.open(path, "rb") as file:
            content = await file.read(most_bytes + 1)
    except OSError as error:
        raise ConfigurationFault(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > most_bytes:
        raise ConfigurationFault(f"{path} is larger than {most_bytes} bytes; fix: name the file that was meant")
    return content


async def write_new_file(path: Path, content: bytes, mode: int) -> None:
    """Write a small file under a new name.

    Raises:
        ConfigurationFault: the file exists, or its folder does not.
        StorageFault: the file cannot be written. Nothing is left behind.
    """
    try:
        with writing_file(path):
            async with aiofiles.open(path, "xb", opener=_opener(mode)) as file:
                try:
                    await file.write(content)
                    await sync_file(file)
                except BaseException:
                    with suppress(OSError):
                        await aiofiles.os.remove(path)
                    raise
    except StorageFault as error:
        if isinstance(error.__cause__, FileExistsError):
            raise file_exists(path) from error
        if isinstance(error.__cause__, FileNotFoundError):
            raise ConfigurationFault(f"there is no folder {path.parent}; fix: create it") from error
        raise


def file_exists(path: Path) -> ConfigurationFault:
    """Return the error for a file that would have to be overwritten."""
    return ConfigurationFault(f"{path} exists, and is never overwritten; fix: choose another name")


def _opener(mode: int) -> Callable[[str, int], int]:
    return lambda path, flags: os.open(path, flags, mode)
