"""Public keys that verify signatures of manifests, as cosign uses them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from mirror.oci.errors import ConfigurationFault

#: Largest file with a key.
MOST_KEY_BYTES: Final = 64 * 1024
_PRIVATE_MARK: Final = b"PRIVATE KEY-----"
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2048, 8192
#: Characters of a fingerprint that people see.
_SHOWN: Final = 16

_Key: TypeAlias = ec.EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Public key that verifies signatures.

    ECDSA on P-256, P-384 or P-521 and RSA with PKCS #1 v1.5 are used with SHA-256, whatever the size of the key, as
    cosign does. Ed25519 signs the bytes themselves.

    Attributes:
        name: name for people, which is that of its file.
        der: the key as SubjectPublicKeyInfo in DER.
    """

    name: str = field(compare=False)
    der: bytes
    _key: _Key = field(repr=False, compare=False)

    @classmethod
    def parse_pem(cls, content: bytes, name: str) -> PublicKey:
        """Return the public key in a PEM document.

        Args:
            content: the document.
            name: name of the key, and of the document in messages.

        Raises:
            ConfigurationFault: the document is not a public key, or is one of an unsupported algorithm.
        """
        if _PRIVATE_MARK in content:
            raise ConfigurationFault(
                f"{name} is a private key, which only its owner should have; fix: use the public key"
            )
        try:
            key = load_pem_public_key(content)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigurationFault(f"{name} is not a public key in PEM; fix: name one, such as cosign.pub") from error
        match key:
            case ec.EllipticCurvePublicKey() if key.curve.name in _CURVES:
                pass
            case RSAPublicKey() if _LEAST_RSA_BITS <= key.key_size <= _MOST_RSA_BITS:
                pass
            case Ed25519PublicKey():
                pass
            case _:
                raise ConfigurationFault(
                    f"{name} is a key of another kind than ECDSA on P-256, P-384 or P-521, Ed25519, and RSA with "
                    f"{_LEAST_RSA_BITS} to {_MOST_RSA_BITS} bits"
                )
        return cls.of(key, name)

    @classmethod
    def of(cls, key: _Key, name: str) -> PublicKey:
        """Return a key of the library with its name."""
        return cls(name, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), key)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of :attr:`der` in hexadecimal: the same as ``openssl pkey -pubin -outform DER | sha256sum`` shows."""
        return hashlib.sha256(self.der).hexdigest()

    def to_pem(self) -> bytes:
        """Return the key as a PEM document."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Return True if the owner of the key has made a signature of ``signed``."""
        try:
            match self._key:
                case ec.EllipticCurvePublicKey():
                    self._key.verify(signature, signed, ec.ECDSA(SHA256()))
                case RSAPublicKey():
                    self._key.verify(signature, signed, padding.PKCS1v15(), SHA256())
                case Ed25519PublicKey():
                    self._key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint[:_SHOWN]})"
