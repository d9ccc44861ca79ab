"""Files with keys: the public keys that admission rules name, and the private key of ``sign``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.error_advice import advised, split_fix

if TYPE_CHECKING:  # imported where a key is read, because many processes have none
    from mirror.signing.private_keys import PrivateKey
    from mirror.signing.public_keys import PublicKey


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Keys as their files were read.

    Attributes:
        keys: the keys by file.
        faults: one sentence for each file that has no usable key, by file. Signatures by its key never count.
    """

    keys: Mapping[Path, PublicKey]
    faults: Mapping[Path, str] = field(default_factory=dict)

    @classmethod
    def read(cls, files: Iterable[Path]) -> KeyFiles:
        """Read files with public keys. Blocks."""
        keys, faults = {}, {}
        for file in files:
            try:
                keys[file] = read_public_key(file)
            except ConfigurationFault as error:
                told, fix = split_fix(advised(error))
                faults[file] = f"{told}, so signatures by this key never count; fix: {fix}"
        return cls(keys, faults)


def read_public_key(file: Path) -> PublicKey:
    """Return the public key in a file. Blocks.

    Raises:
        ConfigurationFault: the file cannot be read, or has no public key of a supported algorithm.
    """
    from mirror.signing.public_keys import PublicKey

    return PublicKey.parse_pem(_read(file), str(file))


def read_private_key(file: Path, password: str | None = None) -> PrivateKey:
    """Return the private key in a file. Blocks.

    Raises:
        ConfigurationFault: the file cannot be read, or has no private key with this password.
    """
    from mirror.signing.private_keys import PrivateKey

    return PrivateKey.parse_pem(_read(file), str(file), None if password is None else password.encode())


def _read(file: Path) -> bytes:
    from mirror.signing.public_keys import MOST_KEY_BYTES

    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_KEY_BYTES + 1)
    except OSError as error:
        raise ConfigurationFault(f"{file} cannot be read: {error.strerror}") from error
    if len(content) > MOST_KEY_BYTES:
        raise ConfigurationFault(f"{file} is larger than {MOST_KEY_BYTES} bytes, so it has no key")
    return content
