"""Users and their access tokens, and the port that finds them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mirror.oci.errors import NameInvalid

# A name can be the user part of a Basic login, which ends at the first colon.
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


def is_user_name(text: str) -> bool:
    """Return True if the text is in the grammar of user names."""
    return _NAME.fullmatch(text) is not None


def parse_user_name(text: str) -> str:
    """Return a user name: at most 64 lower-case letters, digits and ``. _ @ -``.

    Raises:
        NameInvalid: the text is outside the grammar.
    """
    if not is_user_name(text):
        raise NameInvalid(
            f"{text[:100]!r} is not a user's name; fix: use at most 64 lower-case letters, digits and . _ @ -, "
            "and begin with a letter or digit"
        )
    return text


@dataclass(frozen=True, slots=True)
class User:
    """User who may log in.

    Attributes:
        name: user name.
        password_hash: bcrypt hash of the password.
        created_at: time of creation, in UTC.
    """

    name: str
    # Kept out of logs and error messages.
    password_hash: str = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True)
class UserToken:
    """Access token: a long-lived secret with which a machine logs in as a user. The secret itself is not stored.

    Attributes:
        id: identifier for lists and revocation.
        user: name of the owner.
        description: purpose of the token.
        created_at: time of creation, in UTC.
        expires_at: expiry time, in UTC; None if the token does not expire.
    """

    id: str
    user: str
    description: str
    created_at: datetime
    expires_at: datetime | None

    def is_good(self, now: datetime) -> bool:
        """Return True if the token has not expired."""
        return self.expires_at is None or now < self.expires_at


class Users(Protocol):
    """Port that finds users and access tokens. Changes by other processes are visible at once."""

    async def has_users(self) -> bool:
        """Return True if any user exists."""
        ...

    async def find_user(self, name: str) -> User | None:
        """Return the user with this name; None if there is none."""
        ...

    async def find_token(self, token_id: str) -> UserToken | None:
        """Return the access token with this identifier; None if there is none."""
        ...

    async def find_token_by_secret(self, secret_hash: str) -> UserToken | None:
        """Return the access token whose secret has this SHA-256 in hexadecimal; None if there is none."""
        ...
