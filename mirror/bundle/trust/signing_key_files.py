"""Files with keys that sign bundles: F has the private key, F.pub the public one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import aiofiles.os

from mirror.bundle.format.small_files import file_exists, read_small_file, write_new_file
from mirror.bundle.trust.signing_keys import SigningKey, VerifyingKey

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
            raise file_exists(each)
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
