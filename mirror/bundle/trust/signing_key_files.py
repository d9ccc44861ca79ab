"""Files with keys that sign bundles: F has the private key, F.pub the public one."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiofiles
import aiofiles.os

from mirror.bundle.format.output_file import sync_file, writing_file
from mirror.bundle.trust.signing_keys import SigningKey, VerifyingKey
from mirror.oci.errors import ConfigurationFault, StorageFault

_PRIVATE_MODE: Final = 0o600
_PUBLIC_MODE: Final = 0o644
_MOST_BYTES: Final = 64 * 1024


def public_key_path(path: Path) -> Path:
    """Return the path of the public key beside a private key."""
    return path.with_name(f"{path.name}.pub")


async def make_key_files(path: Path) -> VerifyingKey:
    """Create a pair of keys in two new files, and return the public key.

    Args:
        path: path of the private key, which gets mode 0600. The public key goes to ``path`` with ``.pub`` appended.

    Raises:
        ConfigurationFault: one of the files exists, or their folder does not.
        StorageFault: the files cannot be written. None is left behind.
    """
    key, public_path = SigningKey.new(), public_key_path(path)
    for each in (path, public_path):
        if await aiofiles.os.path.exists(each):
            raise _exists(each)
    await write_new_file(path, key.to_pem(), _PRIVATE_MODE)
    try:
        await write_new_file(public_path, key.public.to_pem(), _PUBLIC_MODE)
    except BaseException:
        # A private key without its public key would be in the way of the next attempt.
        await aiofiles.os.remove(path)
        raise
    return key.public


async def load_signing_key(path: Path) -> SigningKey:
    """Return the private key in a file. Raises ConfigurationFault if the file cannot be read or has no such key."""
    return SigningKey.parse_pem(await read_small_file(path, _MOST_BYTES), str(path))


async def load_verifying_key(path: Path) -> VerifyingKey:
    """Return the public key in a file. Raises ConfigurationFault if the file cannot be read or has no such key."""
    return VerifyingKey.parse_pem(await read_small_file(path, _MOST_BYTES), str(path))


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
            raise _exists(path) from error
        if isinstance(error.__cause__, FileNotFoundError):
            raise ConfigurationFault(f"there is no folder {path.parent}; fix: create it") from error
        raise


def _opener(mode: int) -> Callable[[str, int], int]:
    return lambda path, flags: os.open(path, flags, mode)


def _exists(path: Path) -> ConfigurationFault:
    return ConfigurationFault(f"{path} exists, and is never overwritten; fix: choose another name")
