"""Users put together: how a server tells callers apart, and what the commands change."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from mirror.access.callers import UserCallers
from mirror.access.figures import LoginFigures
from mirror.access.logins import Logins, new_secret, secret_hash
from mirror.access.passwords import PasswordChecks, hashed
from mirror.access.signed import SERVICE
from mirror.filters.authorize import AnonymousRights
from mirror.registry.port import Registry
from mirror.registry.rights import USERS_ONLY, Action, Rights
from mirror.registry.users import User, UserToken, parse_user_name
from mirror.runtime.clock import SystemClock
from mirror.runtime.metrics import Share
from mirror.server.authentication import Authentication
from mirror.server.front import Front
from mirror.server.operators import Operators, Word
from mirror.settings import Settings
from mirror.store.registry import Store

_CLOCK = SystemClock()


def anyones_rights(settings: Settings) -> AnonymousRights:
    """What callers without a login may do."""
    users_may = frozenset(action for rule in settings.access for action in rule.actions) - USERS_ONLY
    return AnonymousRights(settings.server.anonymous_actions, users_may if settings.server.logins else frozenset())


@asynccontextmanager
async def authenticating(
    settings: Settings, store: Store, seen_by: Callable[[Rights], Registry], share: Share
) -> AsyncIterator[Authentication | None]:
    """What tells callers apart; None where nobody may log in.

    Args:
        settings: what users may do, and how the server is reached.
        store: knows users.
        seen_by: gives the registry as somebody with these rights sees it.
        share: counts logins.

    Raises:
        StorageFault, StorageDamaged: the key of tokens cannot be had.
    """
    if not settings.server.logins:
        yield None
        return
    async with PasswordChecks() as checks:
        callers = UserCallers(
            store.records.users,
            Logins(store.records.users, checks, _CLOCK, LoginFigures(share)),
            rules=[rule.rule() for rule in settings.access],
            anyone=anyones_rights(settings),
            seen_by=seen_by,
            key=await store.token_key(),
            clock=_CLOCK,
        )
        yield Authentication(callers, SERVICE, front_of(settings))


def front_of(settings: Settings) -> Front:
    """How the server is reached."""
    return Front(settings.server.url, settings.server.behind_proxy)


def operators(settings: Settings, store: Store, authentication: Authentication | None, word: Word | None) -> Operators:
    """Who may decide about plugins, and see the hosts that pull them.

    Args:
        settings: how the server is reached.
        store: knows whether there are users.
        authentication: tells users apart; None where nobody may log in.
        word: knows the word by which anybody may decide; None where there is none.
    """
    by_word = frozenset({Action.APPROVE})
    local = frozenset() if not settings.server.listen.is_loopback else USERS_ONLY - (by_word if word else frozenset())
    return Operators(
        authentication,
        front_of(settings),
        store.records.users.has_users,
        anyone=anyones_rights(settings),
        local=AnonymousRights(local),
        word=None if word is None else (word, AnonymousRights(by_word)),
    )


async def add_user(store: Store, name: str, password: str) -> None:
    """Let somebody log in. Raises NameInvalid: name or password cannot be. ClientFault: the name is taken."""
    parse_user_name(name)
    password_hash = await asyncio.to_thread(hashed, password)
    await store.records.users.add_user(User(name, password_hash, _CLOCK.now()))


async def change_password(store: Store, name: str, password: str) -> None:
    """Give a user another password. Raises NameInvalid: it cannot be one. NotFound: there is no such user."""
    await store.records.users.change_password(name, await asyncio.to_thread(hashed, password))


async def create_token(store: Store, user: str, description: str, lifetime: timedelta | None) -> tuple[UserToken, str]:
    """Make a token for machines.

    Returns:
        The token, and its secret, which cannot be had again.

    Raises:
        NotFound: there is no such user.
    """
    now, secret = _CLOCK.now(), new_secret()
    expires_at = None if lifetime is None else now + lifetime
    token = UserToken(secrets.token_hex(4), user, description, now, expires_at)
    await store.records.users.add_token(token, secret_hash(secret))
    return token, secret
