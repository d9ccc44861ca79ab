"""Accounts of users, and their tokens for machines: made and changed by commands."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import Protocol

from mirror.access.logins import new_secret, secret_hash
from mirror.access.passwords import hashed
from mirror.records.users import User, UserToken, parse_user_name
from mirror.runtime.clock import SystemClock

_CLOCK = SystemClock()


class Accounts(Protocol):
    """Keeps users and their tokens."""

    async def add_user(self, user: User) -> None:
        """Let somebody log in. Raises ClientFault: the name is taken."""
        ...

    async def change_password(self, name: str, password_hash: str) -> None:
        """Give a user another password. Raises NotFound: there is no such user."""
        ...

    async def add_token(self, token: UserToken, secret_hash: str) -> None:
        """Keep a token. Raises NotFound: there is no such user."""
        ...


async def add_user(accounts: Accounts, name: str, password: str) -> None:
    """Let somebody log in. Raises NameInvalid: name or password cannot be. ClientFault: the name is taken."""
    parse_user_name(name)
    password_hash = await asyncio.to_thread(hashed, password)
    await accounts.add_user(User(name, password_hash, _CLOCK.now()))


async def change_password(accounts: Accounts, name: str, password: str) -> None:
    """Give a user another password. Raises NameInvalid: it cannot be one. NotFound: there is no such user."""
    await accounts.change_password(name, await asyncio.to_thread(hashed, password))


async def create_token(
    accounts: Accounts, user: str, description: str, lifetime: timedelta | None
) -> tuple[UserToken, str]:
    """Make a token for machines.

    Returns:
        The token, and its secret, which cannot be had again.

    Raises:
        NotFound: there is no such user.
    """
    now, secret = _CLOCK.now(), new_secret()
    expires_at = None if lifetime is None else now + lifetime
    token = UserToken(secrets.token_hex(4), user, description, now, expires_at)
    await accounts.add_token(token, secret_hash(secret))
    return token, secret
