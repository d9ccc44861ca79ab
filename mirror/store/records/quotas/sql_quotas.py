"""The usage of quotas: read from the rows of content, and kept current by the rows of pushes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import Final

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, select

from mirror.oci import Repository
from mirror.records.lifecycle.quotas import Account, AccountUsage, Amounts, Push, QuotaRules
from mirror.store.catalog import rows
from mirror.store.catalog.databases.catalog_database import snapshot
from mirror.store.catalog.pushes.charged_push import PUSH, ChargedPush, KnownUsage
from mirror.store.catalog.pushes.push_rows import ADDITIONS_KEPT, RESERVED_FOR, note, usages_now
from mirror.store.catalog.tables.collection_tables import quota_additions, quota_reservations
from mirror.store.catalog.tables.content_tables import repositories
from mirror.store.records.quotas.stored_amounts import amounts_of_repositories, amounts_of_users
from mirror.store.store_services import StoreServices

#: Content that mirror rules and pull-through bring counts for pushes after this time at the latest.
_FRESH_SECONDS: Final = 60.0

_LAST: Final = select(func.max(quota_additions.c.id))
_NOW: Final[BindParameter[datetime]] = bindparam("now")
_RESERVED: Final = (
    select(quota_reservations.c.scope, func.sum(quota_reservations.c.size_bytes))
    .where(quota_reservations.c.until.between(_NOW, bindparam("latest")))
    .group_by(quota_reservations.c.scope)
)
_RELEASE: Final = delete(quota_reservations).where(quota_reservations.c.upload == bindparam("own"))
_OVER: Final = delete(quota_reservations).where(~quota_reservations.c.until.between(_NOW, bindparam("latest")))
_OLD: Final = delete(quota_additions).where(quota_additions.c.added_at < bindparam("before"))


class SqlQuotas:
    """Implements :class:`mirror.records.lifecycle.quotas.QuotaBook`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._cache = services.cache
        self._clock = services.clock
        self._known: dict[str, KnownUsage] = {}
        # The usage after the last push of this process, and when what it was computed from was read.
        self._latest: dict[str, tuple[float, Amounts]] = {}
        self._learning = asyncio.Lock()
        self._purged_at_seconds = monotonic()

    @contextmanager
    def pushing(self, push: Push) -> Iterator[None]:
        """Mark the changes of a block as a push."""
        charged = ChargedPush(push, self._known)
        before = PUSH.set(charged)
        try:
            yield
        finally:
            PUSH.reset(before)
        for account, used in push.used.items():
            self._latest[account.scope] = self._known[account.scope].at_seconds, used
        for scope, learned in charged.learned.items():
            known = self._known[scope]
            # Read from the rows of content again meanwhile, or by a later push, it is better than this.
            if known.at_seconds == learned.at_seconds and known.last_addition < learned.last_addition:
                self._known[scope] = learned

    async def know(self, push: Push) -> None:
        """Read the usage of accounts that are not known or have been known for long."""
        if any(map(self._is_old, push.accounts)):
            async with self._learning:
                await self._read([account for account in push.accounts if self._is_old(account)])
            await self._purge()

    async def learn(self, push: Push) -> bool:
        """Read the usage again after a refusal. Return True if the push may be tried again."""
        async with self._learning:
            outdated = [
                account for account in push.accounts if self._known[account.scope] is push.seen.get(account.scope)
            ]
            changed = [account for account in outdated if self._known[account.scope].generation != self._generation]
            await self._read(changed)
        return bool(changed) or len(outdated) < len(push.accounts)

    async def require_room(self, push: Push) -> None:
        """Check that a byte fits, as far as this process knows."""
        for account in push.accounts:
            known = push.seen[account.scope] = self._known[account.scope]
            at_seconds, used = self._latest.get(account.scope, (0.0, known.used))
            AccountUsage(account, used if at_seconds == known.at_seconds else known.used).require(Amounts(1))

    async def reserve(self, push: Push, size_bytes: int) -> None:
        """Reserve the bytes of an upload, in place of what is reserved for it already."""
        now = self._clock.now()
        charged, added = ChargedPush(push, self._known), Amounts(size_bytes)

        def write(connection: Connection) -> None:
            push.passed.clear()
            for usage, own_bytes in usages_now(connection, charged, now):
                usage.require(added)
                note(charged, usage, own_bytes, added)
            row = {"upload": push.upload, "size_bytes": size_bytes, "until": now + RESERVED_FOR}
            rows.put(connection, quota_reservations, *({"scope": account.scope, **row} for account in push.accounts))

        await self._catalog.write_uncached(write)

    async def release(self, upload: str) -> None:
        """End the reservations of an upload."""
        await self._catalog.write_uncached(lambda connection: connection.execute(_RELEASE, {"own": upload}))

    async def usages(self, rules: QuotaRules) -> list[AccountUsage]:
        """Return the usage of all accounts."""
        times = self._times()

        def read(connection: Connection) -> list[AccountUsage]:
            with snapshot(connection):
                reserved = dict(connection.execute(_RESERVED, times).all())
                accounts = _all_accounts(rules, amounts_of_users(connection).keys())
                found = _amounts(connection, accounts)
            return [AccountUsage(one, found[one.scope], int(reserved.get(one.scope, 0))) for one in accounts]

        return await self._catalog.read_long(read)

    @property
    def _generation(self) -> int | None:
        return self._cache.generation

    def _is_old(self, account: Account) -> bool:
        if account.scope not in self._known:
            return True
        return self._age_seconds(account) > _FRESH_SECONDS and not self._is_current(account)

    def _age_seconds(self, account: Account) -> float:
        return monotonic() - self._known[account.scope].at_seconds

    def _is_current(self, account: Account) -> bool:
        known = self._known[account.scope]
        return known.generation is not None and known.generation == self._generation

    async def _read(self, accounts: list[Account]) -> None:
        if not accounts:
            return
        generation, at_seconds = self._generation, monotonic()

        def read(connection: Connection) -> tuple[int, dict[str, Amounts]]:
            # One snapshot: an addition is in the sums, or has a higher id than the last one.
            with snapshot(connection):
                return connection.execute(_LAST).scalar() or 0, _amounts(connection, accounts)

        last, found = await self._catalog.read_long(read)
        for scope, used in found.items():
            self._known[scope] = KnownUsage(used, last, generation, at_seconds)

    async def _purge(self) -> None:
        if monotonic() - self._purged_at_seconds > _FRESH_SECONDS:
            self._purged_at_seconds = monotonic()
            times = self._times()

            def purge(connection: Connection) -> None:
                connection.execute(_OVER, times)
                connection.execute(_OLD, {"before": times["now"] - ADDITIONS_KEPT})

            await self._catalog.write_uncached(purge)

    def _times(self) -> dict[str, datetime]:
        now = self._clock.now()
        return {"now": now, "latest": now + RESERVED_FOR}


def _all_accounts(rules: QuotaRules, users: Iterable[str]) -> list[Account]:
    of_users = [account for user in sorted(users) if (account := rules.account_of(user)) is not None]
    found: list[Account] = []
    for quota in rules.quotas:
        named = {account.scope for account in of_users if account.quota is quota}
        found += [account for account in of_users if account.scope in named]
        # A quota of one user or of repositories is listed even if nothing counts for it.
        if not named and quota.user != "*":
            found.append(quota.account(quota.user))
    return found


def _amounts(connection: Connection, accounts: Collection[Account]) -> dict[str, Amounts]:
    """Return what is stored, by scope of the account."""
    found: dict[str, Amounts] = {}
    for account in accounts:
        pattern = account.quota.pattern
        if pattern is None:
            user = account.user or ""
            found[account.scope] = amounts_of_users(connection, [user]).get(user, Amounts())
            continue
        names = connection.execute(select(repositories.c.id, repositories.c.name))
        ids = [number for number, name in names if pattern.match(Repository(name)) is not None]
        by_repository = amounts_of_repositories(connection, None if pattern.text == "**" else ids)
        found[account.scope] = sum(by_repository.values(), Amounts())
    return found
