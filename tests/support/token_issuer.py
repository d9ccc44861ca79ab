"""A token issuer for tests: its keys, its key set, and the tokens that it signs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER, SERVICE = "the issuer", "plugins.example"

CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@cache
def private_key(algorithm: str, number: int = 0) -> Any:
    """Return a private key, the same at each call."""
    if algorithm.startswith("RS"):
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else ec.generate_private_key(CURVES[algorithm])


def jwk(algorithm: str, kid: str | None, key: Any, **members: Any) -> dict[str, Any]:
    """Return the public key, as it is in a key set."""
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**made, **({} if kid is None else {"kid": kid}), **members}


def access(name: str, *actions: str, kind: str = "repository") -> dict[str, Any]:
    return {"type": kind, "name": name, "actions": list(actions)}


@dataclass
class TokenIssuer:
    """An issuer with one key.

    Attributes:
        algorithm: algorithm of its signatures.
        kid: identifier of its key; None for none.
        number: number of the key, for issuers with different keys.
    """

    algorithm: str = "ES256"
    kid: str | None = "first"
    number: int = 0
    key: Any = field(init=False)

    def __post_init__(self) -> None:
        self.key = private_key(self.algorithm, self.number)

    @property
    def key_set(self) -> bytes:
        return json.dumps({"keys": [jwk(self.algorithm, self.kid, self.key)]}).encode()

    def token(
        self,
        *entries: Mapping[str, Any],
        user: str = "anna",
        headers: Mapping[str, Any] | None = None,
        without: str = "",
        now: datetime | None = None,
        **claims: Any,
    ) -> str:
        """Sign a token.

        Args:
            entries: what the token allows.
            user: the ``sub``.
            headers: more members of the header.
            without: claim to leave out.
            now: time of issue; None for now.
            claims: more claims, or other values for them.
        """
        seconds = int((now or datetime.now(UTC)).timestamp())
        told = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": user,
            "iat": seconds,
            "nbf": seconds,
            "exp": seconds + 300,
            "access": list(entries),
            **claims,
        }
        told.pop(without, None)
        kid = {} if self.kid is None else {"kid": self.kid}
        payload = json.dumps(told).encode()
        return jwt.PyJWS().encode(payload, self.key, algorithm=self.algorithm, headers={**kid, **(headers or {})})
