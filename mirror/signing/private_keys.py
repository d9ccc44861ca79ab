"""Private keys that sign manifests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from mirror.oci.errors import ConfigurationFault
from mirror.signing.public_keys import PublicKey

_COSIGN_MARK: Final = b"ENCRYPTED SIGSTORE PRIVATE KEY-----"
_FIX: Final = "fix: make a key with openssl, as 'plugin-mirror sign --help' shows"
_PUBLIC_MARK: Final = b"PUBLIC KEY-----"
_PRIVATE_MARK: Final = b"PRIVATE KEY-----"

_Key: TypeAlias = ec.EllipticCurvePrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """Private key that signs: ECDSA on P-256 with SHA-256, or Ed25519.

    Attributes:
        public: the public key of the pair.
    """

    public: PublicKey
    _key: _Key = field(repr=False)

    @classmethod
    def new(cls, name: str) -> PrivateKey:
        """Return a new key on P-256, with the name of its public key."""
        return cls._of(ec.generate_private_key(ec.SECP256R1()), name)

    @classmethod
    def parse_pem(cls, content: bytes, name: str, password: bytes | None = None) -> PrivateKey:
        """Return the private key in a PEM document.

        Args:
            content: the document.
            name: name of the key, and of the document in messages.
            password: password of an encrypted key.

        Raises:
            ConfigurationFault: the document is not a private key, is encrypted with another password, or is a key of an
                unsupported algorithm.
        """
        if _COSIGN_MARK in content:
            raise ConfigurationFault(
                f"{name} is a private key in the format of cosign, which only cosign reads; {_FIX}"
            )
        if _PUBLIC_MARK in content:
            raise ConfigurationFault(f"{name} is a public key, which cannot sign; fix: use the private key")
        if _PRIVATE_MARK not in content:
            raise ConfigurationFault(f"{name} is not a private key in PEM; {_FIX}")
        try:
            key = load_pem_private_key(content, password)
        except TypeError as error:
            told = "encrypted; fix: give its password" if password is None else "not encrypted, and needs no password"
            raise ConfigurationFault(f"{name} is {told}") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            why = "it is damaged" if password is None else "the password is wrong, or the key is damaged"
            raise ConfigurationFault(
                f"{name} cannot be read as a private key: {why}; {_FIX}, or give the right password"
            ) from error
        if isinstance(key, Ed25519PrivateKey) or (
            isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
        ):
            return cls._of(key, name)
        raise ConfigurationFault(f"{name} is a key of another kind than ECDSA on P-256 and Ed25519; {_FIX}")

    @classmethod
    def _of(cls, key: _Key, name: str) -> PrivateKey:
        return cls(PublicKey.of(key.public_key(), name), key)

    def to_pem(self) -> bytes:
        """Return the key as an unencrypted PEM document."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, as :meth:`PublicKey.verifies` reads it."""
        if isinstance(self._key, Ed25519PrivateKey):
            return self._key.sign(message)
        return self._key.sign(message, ec.ECDSA(SHA256()))
