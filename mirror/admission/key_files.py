"""Files with the public keys that admission rules name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mirror.oci.errors import ConfigurationFault
from mirror.signing.public_keys import MOST_KEY_BYTES, PublicKey


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Keys as their files were read.

    Attributes:
        keys: the keys by file.
        faults: one sentence for each file that has no usable key. Signatures by its key never count.
    """

    keys: Mapping[Path, PublicKey]
    faults: tuple[str, ...] = ()

    @classmethod
    def read(cls, files: Iterable[Path]) -> KeyFiles:
        """Read files with public keys. Blocks."""
        keys, faults = {}, []
        for file in files:
            try:
                keys[file] = read_public_key(file)
            except ConfigurationFault as error:
                faults.append(error.message)
        return cls(keys, tuple(faults))


def read_public_key(file: Path) -> PublicKey:
    """Return the public key in a file. Blocks.

    Raises:
        ConfigurationFault: the file cannot be read, or has no public key of a supported algorithm.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_KEY_BYTES + 1)
    except OSError as error:
        raise ConfigurationFault(
            f"{file} cannot be read: {error.strerror}; signatures by its key never count"
        ) from error
    if len(content) > MOST_KEY_BYTES:
        raise ConfigurationFault(f"{file} is larger than {MOST_KEY_BYTES} bytes, and no file with a key")
    return PublicKey.parse_pem(content, str(file))
