"""Tokens as they are signed and read again: JSON Web Tokens of the distribution token specification."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import jwt

from mirror.oci import Repository
from mirror.oci.errors import Unauthorized

#: Whom tokens are to be shown to, as challenges say it.
SERVICE: Final = "plugin-mirror"
#: How long a token is good for. Engines up to 27 take no new one while an operation lasts.
LIFETIME_SECONDS: Final = 300

_ALGORITHM: Final = "HS256"
_MOST_CHARACTERS: Final = 16 * 1024
_CLOCKS_DIFFER_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token says.

    Attributes:
        user: whom it was given to; empty for nobody in particular.
        proof: by which password or token for machines they proved that; it is good no longer than those.
        repositories: actions, by the repository's name.
        catalog: whether repositories may be listed.
    """

    user: str = ""
    proof: str = ""
    repositories: Mapping[str, frozenset[str]] = field(default_factory=dict)
    catalog: bool = False

    def actions(self, repository: Repository) -> frozenset[str]:
        """What it is for, with one repository."""
        return self.repositories.get(repository.name, frozenset())


def sign(key: bytes, grant: Grant, now: datetime) -> str:
    """The token, good from now on for :data:`LIFETIME_SECONDS`.

    Args:
        key: 32 bytes.
        grant: what it says.
        now: the time of day, in UTC.
    """
    access = [
        {"type": "repository", "name": name, "actions": sorted(actions)}
        for name, actions in grant.repositories.items()
        if actions
    ]
    if grant.catalog:
        access.append({"type": "registry", "name": "catalog", "actions": ["*"]})
    claims = {
        "aud": SERVICE,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(seconds=LIFETIME_SECONDS)).timestamp()),
        "jti": secrets.token_hex(8),
        "sub": grant.user,
        "proof": grant.proof,
        "access": access,
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def read(key: bytes, token: str) -> Grant:
    """What a token says that we have signed.

    Raises:
        Unauthorized: we have not, it has expired, or it is for another service.
    """
    if len(token) > _MOST_CHARACTERS or not token.isascii():
        raise Unauthorized("the token is longer than any of ours, or not ASCII", error="invalid_token")
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=SERVICE,
            leeway=_CLOCKS_DIFFER_SECONDS,
            options={"require": ["aud", "iat", "exp", "sub", "proof", "access"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise Unauthorized("the token has expired: ask for another", error="invalid_token") from error
    except jwt.InvalidTokenError as error:
        raise Unauthorized(f"the token is not one of ours: {error}", error="invalid_token") from error
    access = claims["access"]
    actions = {entry["name"]: frozenset(entry["actions"]) for entry in access if entry["type"] == "repository"}
    has_catalog = any(entry["type"] == "registry" for entry in access)
    return Grant(claims["sub"], claims["proof"], actions, has_catalog)
