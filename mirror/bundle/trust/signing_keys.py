"""Ed25519 keys that sign bundles (RFC 8032), and their form in PEM files. Pure, except for the making of new keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from mirror.bundle.format.envelope import Envelope, Signature
from mirror.oci.errors import ConfigurationFault

PUBLIC_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_PRIVATE_MARK: Final = b"PRIVATE KEY-----"
_PUBLIC_MARK: Final = b"PUBLIC KEY-----"


@dataclass(frozen=True, slots=True, order=True)
class VerifyingKey:
    """Public key that verifies signatures.

    Attributes:
        raw: the 32 bytes of the key.
    """

    raw: bytes
    _key: Ed25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", Ed25519PublicKey.from_public_bytes(self.raw))

    @property
    def key_id(self) -> str:
        """Fingerprint of the key: SHA-256 of its raw bytes in hexadecimal."""
        return hashlib.sha256(self.raw).hexdigest()

    @classmethod
    def parse_pem(cls, content: bytes, what: str) -> VerifyingKey:
        """Return the public key in a PEM document.

        Args:
            content: the document.
            what: name of the document in messages.

        Raises:
            ConfigurationFault: the document is not the public key of an Ed25519 key pair.
        """
        if _PRIVATE_MARK in content:
            raise ConfigurationFault(
                f"{what} is a private key, which only its owner should have; fix: use the public key, {what}.pub"
            )
        try:
            key = load_pem_public_key(content)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigurationFault(
                f"{what} is not a public key in PEM; fix: use the file F.pub of 'plugin-mirror bundle keygen F'"
            ) from error
        if not isinstance(key, Ed25519PublicKey):
            raise _of_another_kind(what)
        return cls(key.public_bytes_raw())

    def to_pem(self) -> bytes:
        """Return the key as a PEM document."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Return True if the owner of the key has made a signature of ``signed``."""
        if len(signature) != _SIGNATURE_BYTES:
            return False
        try:
            self._key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """Private key that signs.

    Attributes:
        public: the public key of the pair.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = VerifyingKey(key.public_key().public_bytes_raw())

    @classmethod
    def new(cls) -> SigningKey:
        """Return a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def parse_pem(cls, content: bytes, what: str) -> SigningKey:
        """Return the private key in a PEM document.

        Args:
            content: the document.
            what: name of the document in messages.

        Raises:
            ConfigurationFault: the document is not an unencrypted private key of an Ed25519 key pair.
        """
        if _PUBLIC_MARK in content:
            raise ConfigurationFault(
                f"{what} is a public key, which cannot sign; fix: use the private key, {what.removesuffix('.pub')}"
            )
        if _PRIVATE_MARK not in content:
            raise ConfigurationFault(
                f"{what} is not a private key in PEM; fix: make a pair of keys with 'plugin-mirror bundle keygen F'"
            )
        try:
            key = load_pem_private_key(content, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: the key is encrypted
            why = "encrypted" if isinstance(error, TypeError) else "damaged, or of an unknown kind"
            raise ConfigurationFault(
                f"{what} is {why}; fix: make a pair of keys with 'plugin-mirror bundle keygen F'"
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _of_another_kind(what)
        return cls(key)

    def to_pem(self) -> bytes:
        """Return the key as an unencrypted PEM document."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def signature(self, signed: bytes) -> bytes:
        """Return the signature of ``signed``."""
        return self._key.sign(signed)


def sign(envelope: Envelope, key: SigningKey) -> Envelope:
    """Return the envelope with a signature by ``key``. An earlier signature by the same key is replaced."""
    return envelope.with_signature(Signature(key.public.key_id, key.signature(envelope.signed_bytes)))


def _of_another_kind(what: str) -> ConfigurationFault:
    return ConfigurationFault(
        f"{what} is a key of another kind than Ed25519; fix: make a pair with 'plugin-mirror bundle keygen F'"
    )
