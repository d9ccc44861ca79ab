"""Signing and verification of bearer tokens: JSON Web Tokens of the distribution token specification."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from mirror.oci import Repository
from mirror.oci.errors import Unauthorized
from mirror.runtime.clock import Clock, boot_id

#: Name of this service in challenges, and the audience of its tokens.
SERVICE: Final = "plugin-mirror"
#: Lifetime of a token. Engines up to 27 do not request a new token during an operation.
LIFETIME_SECONDS: Final = 300

# The workers of one data folder share the key, so a symmetric signature is enough.
_ALGORITHM: Final = "HS256"
#: Longest token that is read, in characters.
MOST_CHARACTERS: Final = 16 * 1024
#: Difference between two clocks that is tolerated, in seconds.
CLOCKS_DIFFER_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Grant:
    """Content of a bearer token.

    Attributes:
        user: name of the user the token was issued to; empty for an anonymous token.
        proof: identifier of the password or access token that the user logged in with. The bearer token is valid no
            longer than that password or access token.
        repositories: allowed actions by repository name.
        catalog: True if the token allows listing repositories.
    """

    user: str = ""
    proof: str = ""
    repositories: Mapping[str, frozenset[str]] = field(default_factory=dict)
    catalog: bool = False

    def actions(self, repository: Repository) -> frozenset[str]:
        """Return the actions that the token allows on a repository."""
        return self.repositories.get(repository.name, frozenset())


def sign(key: bytes, grant: Grant, clock: Clock) -> str:
    """Return a signed token that is valid for :data:`LIFETIME_SECONDS` from now.

    Args:
        key: signing key of 32 bytes.
        grant: content of the token.
        clock: current time.
    """
    now_seconds = int(clock.now().timestamp())
    access = [
        {"type": "repository", "name": name, "actions": sorted(actions)}
        for name, actions in grant.repositories.items()
        if actions
    ]
    if grant.catalog:
        access.append({"type": "registry", "name": "catalog", "actions": ["*"]})
    claims = {
        "aud": SERVICE,
        "iat": now_seconds,
        "exp": now_seconds + LIFETIME_SECONDS,
        **_steady_claims(key, clock),
        "jti": secrets.token_hex(8),
        "sub": grant.user,
        "proof": grant.proof,
        "access": access,
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def read(key: bytes, token: str, clock: Clock) -> Grant:
    """Return the content of a token that this server signed.

    The age of a token of this boot is measured with the monotonic clock. A client in the middle of a push would
    otherwise be refused after the time of day was set, and old tokens would become valid again. For other tokens the
    time of day decides.

    Raises:
        Unauthorized: the signature is invalid, the token has expired, or the token is for another service.
    """
    if len(token) > MOST_CHARACTERS or not token.isascii():
        raise Unauthorized("the token is longer than any token of this server, or not ASCII", error="invalid_token")
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=SERVICE,
            options={
                "require": ["aud", "iat", "exp", "sub", "proof", "access"],
                "verify_exp": False,
                "verify_iat": False,
            },
        )
    except jwt.InvalidTokenError as error:
        # The library's words are about its own checks, and a client can only ask for another token.
        raise Unauthorized("this server did not issue the token, or it is damaged", error="invalid_token") from error
    _require_valid_time(claims, key, clock)
    access = claims["access"]
    actions = {entry["name"]: frozenset(entry["actions"]) for entry in access if entry["type"] == "repository"}
    has_catalog = any(entry["type"] == "registry" for entry in access)
    return Grant(claims["sub"], claims["proof"], actions, has_catalog)


def _steady_claims(key: bytes, clock: Clock) -> dict[str, Any]:
    """Return the claims that date a token by the monotonic clock: a mark of this boot, and the time since the boot.

    The time is shifted by a secret number, because anybody can read the claims and the uptime of a machine tells which
    security updates are missing.
    """
    mark = hmac.digest(key, boot_id(), "sha256")
    return {"boot": mark[:8].hex(), "steady": int(clock.monotonic_seconds()) + int.from_bytes(mark[8:14])}


def _require_valid_time(claims: Mapping[str, Any], key: bytes, clock: Clock) -> None:
    """Raise Unauthorized if the token has expired or was issued in the future."""
    now = _steady_claims(key, clock)
    if claims.get("boot") == now["boot"]:
        age_seconds = now["steady"] - claims["steady"]
    else:
        age_seconds = clock.now().timestamp() - claims["iat"]
    if age_seconds >= claims["exp"] - claims["iat"] + CLOCKS_DIFFER_SECONDS:
        raise Unauthorized("the token has expired; fix: request a new token", error="invalid_token")
    if age_seconds < -CLOCKS_DIFFER_SECONDS:
        raise Unauthorized(
            "the token is not yet valid, because the clock was set back; fix: request a new token",
            error="invalid_token",
        )
