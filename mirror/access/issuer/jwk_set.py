"""Keys of a token issuer, as JSON Web Key Sets hold them (RFC 7517). Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from mirror.oci.errors import ConfigurationFault

#: Largest key set that is read, in bytes.
MOST_BYTES: Final = 256 * 1024
# Without an identifier in a token, all keys are tried. The limits bound the time that a token costs.
_MOST_KEYS: Final = 64
_LEAST_RSA_BITS: Final = 2048
_MOST_RSA_BITS: Final = 8192
# By the names of the curves (cryptography), which fix the hash.
_BY_CURVE: Final = {SECP256R1.name: "ES256", SECP384R1.name: "ES384", SECP521R1.name: "ES512"}
_RSA: Final = frozenset({"RS256", "RS384", "RS512"})
#: Algorithms of signatures that any key may verify. None of them uses a secret.
ALGORITHMS: Final = _RSA | {*_BY_CURVE.values(), "EdDSA"}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """Public key that verifies tokens.

    Attributes:
        kid: identifier of the key; None if it has none.
        algorithms: algorithms of signatures that the key may verify.
        key: the key.
    """

    kid: str | None
    algorithms: frozenset[str]
    key: RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class JwkSet:
    """Public keys of a token issuer.

    Attributes:
        keys: the keys, in the order of the set.
    """

    keys: tuple[VerificationKey, ...] = ()

    @classmethod
    def parse(cls, content: bytes, where: str) -> JwkSet:
        """Parse a JSON Web Key Set.

        Keys that verify no token are left out: symmetric keys, keys for encryption, RSA keys of less than 2048 bits,
        and kinds that are not known.

        Args:
            content: the JSON text.
            where: file or URL of the set, for messages.

        Raises:
            ConfigurationFault: it is no key set, holds a private key, or has no key that can verify a token.
        """
        try:
            entries = json.loads(content)["keys"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ConfigurationFault(f"{where}: it is no JSON Web Key Set with the member keys") from error
        if not isinstance(entries, list) or len(entries) > _MOST_KEYS:
            raise ConfigurationFault(f"{where}: keys is not a list of at most {_MOST_KEYS} keys")
        found = [_key(entry, where) for entry in entries if isinstance(entry, dict)]
        keys = tuple(key for key in found if key is not None)
        if not keys:
            raise ConfigurationFault(
                f"{where}: none of the {len(entries)} keys can verify a token; fix: publish an RSA key of 2048 bits or "
                "more, or a key of P-256, P-384, P-521 or Ed25519"
            )
        return cls(keys)

    def candidates(self, algorithm: str, kid: str | None) -> list[VerificationKey]:
        """Return the keys that may have signed a token.

        Args:
            algorithm: algorithm that the token names.
            kid: identifier of the key that the token names. Of keys with identifiers, only one with this identifier
                has signed the token. None: any key may have.
        """
        suitable = [key for key in self.keys if algorithm in key.algorithms]
        if kid is None:
            return suitable
        return [key for key in suitable if key.kid == kid] or [key for key in suitable if key.kid is None]


def _key(entry: dict[str, Any], where: str) -> VerificationKey | None:
    """Return the key of an entry; None if it verifies no tokens."""
    try:
        parsed = jwt.PyJWK(entry)
    except Exception:  # noqa: BLE001 - a key of an unknown kind, or what is no key at all
        return None
    kid, algorithm, key = entry.get("kid"), entry.get("alg"), parsed.key
    if entry.get("kty") in {"RSA", "EC", "OKP"} and "d" in entry:
        raise ConfigurationFault(
            f"{where}: the set holds a private key, so everybody who can read it can sign tokens; fix: make a new key "
            "pair, and publish the public key only"
        )
    algorithms = _algorithms(key) & ({algorithm} if algorithm else _algorithms(key))
    if not algorithms or parsed.public_key_use not in (None, "sig"):
        return None
    return VerificationKey(kid if isinstance(kid, str) else None, algorithms, key)


def _algorithms(key: Any) -> frozenset[str]:
    match key:
        case RSAPublicKey() if _LEAST_RSA_BITS <= key.key_size <= _MOST_RSA_BITS:
            return _RSA
        case EllipticCurvePublicKey() if key.curve.name in _BY_CURVE:
            return frozenset({_BY_CURVE[key.curve.name]})
        case Ed25519PublicKey():
            return frozenset({"EdDSA"})
        case _:
            return frozenset()
