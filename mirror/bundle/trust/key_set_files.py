"""Files with key sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mirror.bundle.format.small_files import read_small_file, write_new_file
from mirror.bundle.trust.key_set import MOST_KEY_SET_BYTES, KeySet, SignedKeySet, require_chain
from mirror.bundle.trust.signing_keys import SigningKey, VerifyingKey, sign
from mirror.oci.errors import ConfigurationFault

_MODE: Final = 0o644


async def load_key_set(path: Path) -> SignedKeySet:
    """Return the key set in a file. A public key is the key set of version 1 that holds this key alone.

    Raises:
        ConfigurationFault: the file cannot be read, or is neither a key set nor a public key.
        BundleInvalid: the file has JSON that is not a key set.
    """
    content = await read_small_file(path, MOST_KEY_SET_BYTES)
    if content.lstrip().startswith(b"{"):
        return SignedKeySet.parse(content, str(path))
    key_set = KeySet.of_key(VerifyingKey.parse_pem(content, str(path)))
    return SignedKeySet(key_set, key_set.envelope)


async def load_key_sets(paths: Sequence[Path]) -> dict[int, bytes]:
    """Return the key sets in files by version.

    Raises:
        BundleInvalid: a file is not a key set.
        BundleUntrusted: receivers could not follow the key sets: one is missing, or lacks signatures.
        ConfigurationFault: a file cannot be read, or two files have the same version.
    """
    found: dict[int, SignedKeySet] = {}
    for path in paths:
        signed = await load_key_set(path)
        version = signed.key_set.version
        if version in found:
            raise ConfigurationFault(f"{path} is a second key set of version {version}; fix: name one of them")
        found[version] = signed
    require_chain([found[version] for version in sorted(found)])
    return {version: signed.to_bytes() for version, signed in sorted(found.items())}


async def write_key_set(path: Path, key_set: KeySet, signing_keys: Sequence[SigningKey]) -> SignedKeySet:
    """Write a key set to a new file, signed by some keys.

    Raises:
        ConfigurationFault: the file exists, or its folder does not.
        StorageFault: the file cannot be written.
    """
    envelope = key_set.envelope
    for key in signing_keys:
        envelope = sign(envelope, key)
    signed = SignedKeySet(key_set, envelope)
    await write_new_file(path, signed.to_bytes(), _MODE)
    return signed
