"""Users and their tokens: what is known of them, and the port that finds them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mirror.oci.errors import NameInvalid

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


def is_user_name(text: str) -> bool:
    """Tell whether a name is in the grammar of user names."""
    return _NAME.fullmatch(text) is not None


def parse_user_name(text: str) -> str:
    """Read the name of a user: lower-case letters, digits and ``. _ @ -``, at most 64.

    Raises:
        NameInvalid: it is outside the grammar.
    """
    if not is_user_name(text):
        raise NameInvalid(
            f"{text[:100]!r} is not a user's name: at most 64 lower-case letters, digits and . _ @ -, "
            "beginning with a letter or digit"
        )
    return text


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in.

    Attributes:
        name: what they are called.
        password_hash: as bcrypt makes it.
        created_at: since when they are known.
    """

    name: str
    password_hash: str = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True)
class UserToken:
    """A long-lived secret of a user, for machines; the secret itself is nowhere kept.

    Attributes:
        id: what it is called where it is listed or revoked.
        user: whose it is.
        description: what it is for.
        created_at: since when it is good.
        expires_at: until when; None for no end.
    """

    id: str
    user: str
    description: str
    created_at: datetime
    expires_at: datetime | None

    def is_good(self, now: datetime) -> bool:
        """Tell whether the token has not expired."""
        return self.expires_at is None or now < self.expires_at


class Users(Protocol):
    """Finds users. What other processes have changed is seen at once."""

    async def has_users(self) -> bool:
        """Tell whether there are users."""
        ...

    async def find_user(self, name: str) -> User | None:
        """The user of that name."""
        ...

    async def find_token(self, token_id: str) -> UserToken | None:
        """The token of that id."""
        ...

    async def find_token_by_secret(self, secret_hash: str) -> UserToken | None:
        """The token whose secret has that SHA-256, in hexadecimal."""
        ...
