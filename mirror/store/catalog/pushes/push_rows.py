"""Rows of pushes: who pushed content, and whether the content fits in quotas. All functions run in a transaction.

The usage of an account is what a process knew of it at one moment, plus the rows that pushes have added since, plus
what uploads under way have reserved. No push changes a row that another push changes too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    literal_column,
    null,
    select,
    union_all,
    update,
)

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import QuotaExceeded
from mirror.records.lifecycle.quotas import Account, AccountUsage, Amounts
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog.pushes.charged_push import ChargedPush, KnownUsage
from mirror.store.catalog.pushes.prepared_statement import PreparedStatement, as_values, values_of
from mirror.store.catalog.tables.collection_tables import quota_additions, quota_reservations, reviews
from mirror.store.catalog.tables.content_tables import (
    blobs,
    manifest_children,
    manifests,
    repositories,
    repository_blobs,
    tags,
)

#: A reservation ends so long after its last renewal, if its process dies.
RESERVED_FOR: Final = timedelta(hours=1)
#: Rows of additions are kept longer than any process goes without reading the usage again.
ADDITIONS_KEPT: Final = timedelta(minutes=5)
_LONGEST_KNOWN_SECONDS: Final = 240.0

#: Causes of reviews of blobs that something has named before.
_LEFT: Final[list[ColumnElement[str]]] = [
    literal_column(f"'{each.value}'") for each in ReviewCause if each not in {ReviewCause.STORED, ReviewCause.FETCHED}
]

#: The condition for a review of a blob that deletions have left behind, if :func:`unnamed` holds too. Only the row is
#: there until the collection decides. Its bytes count for no quota, so that a deletion makes room at once.
GIVEN_UP: Final = and_(reviews.c.kind == ReviewKind.BLOB.value, reviews.c.cause.in_(_LEFT))


def unnamed(repository: ColumnElement[str], digest: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for content that no manifest of a repository names."""
    return ~exists().where(manifest_children.c.repository == repository, manifest_children.c.child == digest)


_NAME: Final[BindParameter[str]] = bindparam("name")
_WANTED: Final[BindParameter[str]] = bindparam("wanted")
_LEFT_BEHIND: Final = and_(
    exists().where(GIVEN_UP, reviews.c.repository == _NAME, reviews.c.digest == blobs.c.digest),
    unnamed(_NAME, blobs.c.digest),
)
_ID: Final = select(repositories.c.id).where(repositories.c.name == _NAME).scalar_subquery()
_HOLDS: Final = exists().where(repository_blobs.c.repository_id == _ID, repository_blobs.c.digest == blobs.c.digest)
#: The size of a blob that does not count for its repository yet, and whether the repository has a row of it.
_NEW_BLOB: Final = PreparedStatement(
    select(blobs.c.size_bytes, _HOLDS).where(blobs.c.digest == _WANTED, ~_HOLDS | _LEFT_BEHIND)
)
#: What deletions have left behind of one user counts for the user who needs it again.
_TAKE_OVER: Final = PreparedStatement(
    update(repository_blobs)
    .where(repository_blobs.c.repository_id == _ID, repository_blobs.c.digest.in_(values_of("named")))
    .values(pushed_by=bindparam("user"))
)
#: What is there before a manifest is pushed: the tags among those named with their users, the manifest without a user,
#: and blobs that count again, with their sizes.
_BEFORE: Final = PreparedStatement(
    union_all(
        # PostgreSQL takes the types of the first two.
        select(blobs.c.digest.label("name"), null().label("pushed_by"), blobs.c.size_bytes).where(
            blobs.c.digest.in_(values_of("named")), _HOLDS, _LEFT_BEHIND
        ),
        select(tags.c.name, tags.c.pushed_by, null()).where(
            tags.c.repository_id == _ID, tags.c.name.in_(values_of("tags"))
        ),
        select(manifests.c.digest, null(), null()).where(
            manifests.c.repository_id == _ID, manifests.c.digest == _WANTED
        ),
    )
)


_ADDED, _RESERVED = quota_additions.c, quota_reservations.c
_ZERO: Final[ColumnElement[int]] = literal_column("0")
#: What pushes have added since the oldest knowledge of the accounts, and what is reserved. These are few rows: a single
#: statement without sums, because most of the time of a small statement is spent in preparing it.
_SINCE: Final = PreparedStatement(
    union_all(
        select(
            _ADDED.scope,
            _ADDED.id,
            literal_column("''").label("upload"),
            _ADDED.size_bytes,
            _ADDED.manifests,
            _ADDED.tags,
        ).where(_ADDED.id > bindparam("known")),
        # A reservation from before the clock was set back does not hold for longer than any other.
        select(_RESERVED.scope, _ZERO, _RESERVED.upload, _RESERVED.size_bytes, _ZERO, _ZERO).where(
            _RESERVED.until.between(bindparam("now"), bindparam("latest"))
        ),
    )
)
_ADD: Final = PreparedStatement(
    insert(quota_additions), columns=[column.name for column in _ADDED if column is not _ADDED.id]
)
_RELEASE: Final = PreparedStatement(delete(quota_reservations).where(quota_reservations.c.upload == bindparam("own")))


def charge_blob(
    connection: Connection,
    charged: ChargedPush | None,
    repository: Repository,
    digest: Digest,
    now: datetime,
) -> None:
    """Count a blob that a repository is about to hold. Raises QuotaExceeded."""
    if charged is None or not charged.push.accounts:
        return
    found = _NEW_BLOB.run(connection, name=repository.name, wanted=str(digest))
    size_bytes, is_held = found[0] if found else (0, False)
    if is_held:
        _take_over(connection, charged, repository, [str(digest)])
    _charge(connection, charged, lambda _: Amounts(size_bytes), now)


def charge_manifest(
    connection: Connection,
    charged: ChargedPush | None,
    repository: Repository,
    manifest: Manifest,
    pointing: Collection[Tag],
    *,
    now: datetime,
) -> None:
    """Count a manifest and tags that a repository is about to hold, and blobs that count again.

    Raises:
        QuotaExceeded: a quota has no room for them.
    """
    if charged is None or not charged.push.accounts:
        return
    names = {tag.name for tag in pointing}
    before = _BEFORE.run(
        connection,
        name=repository.name,
        wanted=str(manifest.digest),
        tags=as_values(names),
        named=as_values({str(blob.digest) for blob in manifest.blobs}),
    )
    existing = {name: user for name, user, _ in before if name in names}
    size_bytes = number = 0
    if all(name != str(manifest.digest) for name, *_ in before):
        again = {name: blob_bytes for name, _, blob_bytes in before if blob_bytes is not None}
        size_bytes, number = manifest.size_bytes + sum(again.values()), 1
        _take_over(connection, charged, repository, list(again))

    def added(account: Account) -> Amounts:
        counted = [name for name in names & existing.keys() if account.user in {None, existing[name]}]
        return Amounts(size_bytes, number, len(names) - len(counted))

    _charge(connection, charged, added, now)


def usages_now(connection: Connection, charged: ChargedPush, now: datetime) -> list[tuple[AccountUsage, int]]:
    """Return the usage of the accounts of a push, each with the bytes that the upload itself has reserved.

    The usage is without these bytes.

    Raises:
        QuotaExceeded: what this process knows is too old. The caller learns, and tries again.
    """
    push = charged.push
    found = {account.scope: _AccountReading(account, charged.known[account.scope]) for account in push.accounts}
    for scope, reading in found.items():
        push.seen[scope] = reading.before
        if monotonic() - reading.before.at_seconds > _LONGEST_KNOWN_SECONDS:
            raise QuotaExceeded(f"the usage of {scope} must be read again; fix: retry", quota=scope)
    oldest = min(reading.before.last_addition for reading in found.values())
    for scope, number, upload, *amounts in _SINCE.run(connection, known=oldest, now=now, latest=now + RESERVED_FOR):
        if (read := found.get(scope)) is None:
            continue
        if upload:
            read.reserve(amounts[0], is_own=upload == push.upload)
        else:
            read.add(number, Amounts(*amounts))
    charged.learned.update({scope: reading.after for scope, reading in found.items()})
    return [
        (AccountUsage(reading.account, reading.used, reading.others_bytes), reading.own_bytes)
        for reading in found.values()
    ]


class _AccountReading:
    """Usage of an account while the rows of :data:`_SINCE` are read."""

    def __init__(self, account: Account, before: KnownUsage) -> None:
        self.account = account
        self.before = before
        self.used = before.used
        self.others_bytes = self.own_bytes = 0
        self._last = before.last_addition

    @property
    def after(self) -> KnownUsage:
        return replace(self.before, used=self.used, last_addition=self._last)

    def reserve(self, size_bytes: int, *, is_own: bool) -> None:
        if is_own:
            self.own_bytes += size_bytes
        else:
            self.others_bytes += size_bytes

    def add(self, number: int, amounts: Amounts) -> None:
        if number > self.before.last_addition:
            self.used += amounts
            self._last = max(self._last, number)


def note(charged: ChargedPush, usage: AccountUsage, reserved_bytes: int, added: Amounts) -> None:
    """Note in the push which soft limits it passes."""
    # What the upload has reserved has passed its soft limits already.
    own = AccountUsage(usage.account, usage.used, usage.reserved_bytes + reserved_bytes)
    more = Amounts(max(added.size_bytes - reserved_bytes, 0), added.manifests, added.tags)
    charged.push.passed += [(usage.account, kind) for kind in own.crossed(more)]


def _take_over(connection: Connection, charged: ChargedPush, repository: Repository, named: list[str]) -> None:
    if named:
        values: dict[str, object] = {"name": repository.name, "named": as_values(named), "user": charged.push.user}
        _TAKE_OVER.change(connection, [values])


def _charge(connection: Connection, charged: ChargedPush, added: Callable[[Account], Amounts], now: datetime) -> None:
    push = charged.push
    push.passed.clear()
    additions: list[dict[str, object]] = []
    reserved_bytes = 0
    for usage, own_bytes in usages_now(connection, charged, now):
        account = usage.account
        more = added(account)
        usage.require(more)
        note(charged, usage, own_bytes, more)
        reserved_bytes += own_bytes
        push.used[account] = usage.used + more
        if more != Amounts():
            row = {"size_bytes": more.size_bytes, "manifests": more.manifests, "tags": more.tags}
            additions.append({"scope": account.scope, "added_at": now, **row})
    if additions:
        _ADD.change(connection, additions)
    if reserved_bytes:
        _RELEASE.change(connection, [{"own": push.upload}])
