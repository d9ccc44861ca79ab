"""Access control of a process that serves: who calls, and what they may do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mirror.access.login_metrics import login_counter
from mirror.access.logins import Logins
from mirror.access.passwords import PasswordChecks
from mirror.access.rights import USERS_ONLY, AccessAction, Rights
from mirror.access.token_signing import SERVICE
from mirror.access.user_callers import UserCallers
from mirror.filters.authorize import AnonymousRights
from mirror.registry.port import Registry
from mirror.runtime.clock import SystemClock
from mirror.runtime.shared_metrics import WorkerSlot
from mirror.server.api.approval_token import ApprovalToken
from mirror.server.api.operators import Operators
from mirror.server.authentication import Authentication
from mirror.server.forwarded import ForwardedHeaders
from mirror.settings import Settings
from mirror.store.registry import Store

_CLOCK = SystemClock()


def anonymous_rights(settings: Settings) -> AnonymousRights:
    """Rights of callers without a login."""
    users_may = frozenset(action for rule in settings.access for action in rule.actions) - USERS_ONLY
    return AnonymousRights(settings.server.anonymous_actions, users_may if settings.server.logins else frozenset())


@asynccontextmanager
async def authenticating(
    settings: Settings, store: Store, seen_by: Callable[[Rights], Registry], slot: WorkerSlot
) -> AsyncIterator[Authentication | None]:
    """Make the part of a server that tells callers apart; None where nobody may log in.

    Args:
        settings: what users may do, and how the server is reached.
        store: knows users.
        seen_by: gives the registry as somebody with these rights sees it.
        slot: counts logins.

    Raises:
        StorageFault, StorageDamaged: the key of tokens cannot be had.
    """
    if not settings.server.logins:
        yield None
        return
    async with PasswordChecks() as checks:
        callers = UserCallers(
            store.records.users,
            Logins(store.records.users, checks, _CLOCK, login_counter(slot)),
            rules=[rule.rule() for rule in settings.access],
            anyone=anonymous_rights(settings),
            seen_by=seen_by,
            key=await store.token_key(),
            clock=_CLOCK,
        )
        yield Authentication(callers, SERVICE, forwarded_headers(settings))


def forwarded_headers(settings: Settings) -> ForwardedHeaders:
    """The address of the server as its clients see it."""
    return ForwardedHeaders(settings.server.url, settings.server.behind_proxy)


def operators(settings: Settings, store: Store, authentication: Authentication | None) -> Operators:
    """Make the part of a server that tells who may decide about plugins, and see the hosts that pull them.

    Args:
        settings: how the server is reached.
        store: knows whether there are users.
        authentication: tells users apart; None where nobody may log in.

    Raises:
        ConfigurationFault: the word by which anybody may decide cannot be read, or is too short.
    """
    token_file = settings.admission.token_file
    word = None if token_file is None else ApprovalToken(token_file).require
    by_word = frozenset({AccessAction.APPROVE})
    local = frozenset() if not settings.server.listen.is_loopback else USERS_ONLY - (by_word if word else frozenset())
    return Operators(
        authentication,
        forwarded_headers(settings),
        store.records.users.has_users,
        anyone=anonymous_rights(settings),
        local=AnonymousRights(local),
        word=None if word is None else (word, AnonymousRights(by_word)),
    )
