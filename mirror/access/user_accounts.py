"""User accounts and their access tokens, created and changed by commands."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from mirror.access.htpasswd import HtpasswdEntry
from mirror.access.logins import new_secret, secret_hash
from mirror.access.passwords import hashed
from mirror.records.users import User, UserToken, parse_user_name
from mirror.runtime.clock import SystemClock

_CLOCK = SystemClock()


class Accounts(Protocol):
    """Port that stores users and their access tokens."""

    async def add_user(self, user: User) -> None:
        """Store a new user. Raises ClientFault if the name is taken."""
        ...

    async def import_users(self, users: Sequence[User], *, replaces: bool) -> int:
        """Store users all at once, and return the number of replaced ones.

        Raises ClientFault if a name is taken and ``replaces`` is False.
        """
        ...

    async def change_password(self, name: str, password_hash: str) -> None:
        """Replace the password hash of a user. Raises NotFound if the user does not exist."""
        ...

    async def add_token(self, token: UserToken, secret_hash: str) -> None:
        """Store an access token of a user. Raises NotFound if the user does not exist."""
        ...


async def add_user(accounts: Accounts, name: str, password: str) -> None:
    """Create a user.

    Raises:
        NameInvalid: the name or the password is not allowed.
        ClientFault: the name is taken.
    """
    parse_user_name(name)
    password_hash = await asyncio.to_thread(hashed, password)
    await accounts.add_user(User(name, password_hash, _CLOCK.now()))


async def import_users(accounts: Accounts, entries: Sequence[HtpasswdEntry], *, replaces: bool) -> int:
    """Create the users of an htpasswd file, all or none.

    Args:
        accounts: store of users.
        entries: users with the hashes of their passwords.
        replaces: True to replace the password of a user who exists. The user's access tokens stay valid.

    Returns:
        The number of users whose password was replaced.

    Raises:
        ClientFault: a user exists, and ``replaces`` is False.
    """
    now = _CLOCK.now()
    users = [User(entry.name, entry.password_hash, now) for entry in entries]
    return await accounts.import_users(users, replaces=replaces)


async def change_password(accounts: Accounts, name: str, password: str) -> None:
    """Replace the password of a user.

    Raises:
        NameInvalid: the password is not allowed.
        NotFound: the user does not exist.
    """
    await accounts.change_password(name, await asyncio.to_thread(hashed, password))


async def create_token(
    accounts: Accounts, user: str, description: str, lifetime: timedelta | None
) -> tuple[UserToken, str]:
    """Create an access token of a user.

    Args:
        accounts: store of users and access tokens.
        user: user name.
        description: purpose of the token, for lists.
        lifetime: time until the token expires; None for no expiry.

    Returns:
        The access token and its secret. Only a hash of the secret is stored, so it cannot be shown again.

    Raises:
        NotFound: the user does not exist.
    """
    now, secret = _CLOCK.now(), new_secret()
    expires_at = None if lifetime is None else now + lifetime
    token = UserToken(secrets.token_hex(4), user, description, now, expires_at)
    await accounts.add_token(token, secret_hash(secret))
    return token, secret
