"""Reviews in the catalog, and the removal of files that nothing needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, delete, exists, func, or_, select
from sqlalchemy.dialects.sqlite import insert

from mirror.oci import Digest
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import (
    CollectionRules,
    DecidedReviews,
    FreedBytes,
    Grace,
    ReviewKind,
    WaitingContent,
)
from mirror.store.catalog import rows
from mirror.store.catalog.review_rows import RENEWED_AFTER
from mirror.store.catalog.tables.catalog_format import MANIFESTS_INDEXED
from mirror.store.catalog.tables.collection_tables import (
    content_holders,
    doomed_files,
    freed_content,
    held_content,
    reviews,
)
from mirror.store.catalog.tables.content_tables import blobs, finished_work
from mirror.store.collection import comparison
from mirror.store.collection.decisions import Deciding
from mirror.store.collection.unneeded_content import remove_unneeded
from mirror.store.storage_threads import in_thread
from mirror.store.store_services import StoreServices

#: A review that has been due for this long is overdue.
_OVERDUE: Final = timedelta(days=1)
_OFTEN: Final = 10

_DUE = (
    select(reviews)
    .where(reviews.c.cause == bindparam("cause"), reviews.c.counts_from <= bindparam("before"))
    .order_by(reviews.c.counts_from)
    .limit(bindparam("most"))
)
#: All reviews that have not been decided since the start of a run, whatever their grace. Later events are left to the
#: next run: a busy server would keep this one from ending. A time in the future is that of a wrong clock.
_UNDECIDED = (
    select(reviews)
    .where(
        or_(reviews.c.decided_at.is_(None), reviews.c.decided_at < bindparam("since")),
        or_(reviews.c.counts_from <= bindparam("since"), reviews.c.counts_from > bindparam("now")),
    )
    .limit(bindparam("most"))
)
_COUNTED_DUE = (
    select(func.count())
    .select_from(reviews)
    .where(reviews.c.cause == bindparam("cause"), reviews.c.counts_from <= bindparam("before"))
)
_STORED_AGAIN = exists().where(blobs.c.digest == doomed_files.c.digest)
_NEEDED_BY_WORK = exists().where(
    held_content.c.holder == content_holders.c.id,
    content_holders.c.until > bindparam("now"),
    # A file that no repository holds matters to work on all content only, such as a backup, or to work that names it.
    or_(
        held_content.c.digest == doomed_files.c.digest,
        and_(held_content.c.repository == "", held_content.c.digest == ""),
    ),
)
_TO_REMOVE = (
    select(doomed_files)
    .where(doomed_files.c.doomed_at <= bindparam("before"), ~_STORED_AGAIN, ~_NEEDED_BY_WORK)
    .order_by(doomed_files.c.doomed_at)
    .limit(bindparam("most"))
)
_REMOVED = delete(doomed_files).where(doomed_files.c.digest == bindparam("removed"))
_FREED = insert(freed_content)
_ADD_FREED = _FREED.on_conflict_do_update(
    index_elements=list(freed_content.primary_key),
    set_={
        "files": freed_content.c.files + _FREED.excluded.files,
        "size_bytes": freed_content.c.size_bytes + _FREED.excluded.size_bytes,
    },
)
_IS_KNOWN = (
    select(blobs.c.digest)
    .where(blobs.c.digest.in_(bindparam("found", expanding=True)))
    .union(select(doomed_files.c.digest).where(doomed_files.c.digest.in_(bindparam("found", expanding=True))))
)
_IS_INDEXED = select(finished_work.c.name).where(finished_work.c.name == MANIFESTS_INDEXED)


class SqlReviews:
    """Implements :class:`mirror.records.lifecycle.reviews.Reviews`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._blobs = services.blobs
        self._objects = services.adoption.objects
        self._clock = services.clock
        self._has_unshown = False

    async def decide(self, rules: CollectionRules, most: int) -> DecidedReviews:
        now = self._clock.now()
        due = await self._catalog.read(lambda connection: _due(connection, rules, now, most))
        if not due:
            await self._show_removals()
            return DecidedReviews()
        # Caches stay valid through the removal of what no manifest names, so that pulls beside it stay fast.
        is_quiet = any(_is_quiet(review, rules) for review in due)

        def work(connection: Connection) -> DecidedReviews:
            # Read again: another change may have come before this turn.
            chosen = [one for one in _due(connection, rules, now, most) if _is_quiet(one, rules) is is_quiet]
            left, removed = remove_unneeded(connection, chosen, rules, now)
            deciding = Deciding(connection, rules, now)
            for review in left:
                deciding.decide(review)
            return removed + deciding.result

        if not is_quiet:
            return await self._catalog.write(work)
        result = await self._catalog.write_uncached(work)
        self._has_unshown = self._has_unshown or bool(result.removed)
        return result

    async def _show_removals(self) -> None:
        """Let everything that is computed from the catalog, such as the usage of quotas, be computed again."""
        if self._has_unshown:
            await self._catalog.write(lambda _connection: None)
            self._has_unshown = False

    async def remove_bytes(self, grace: timedelta, most: int) -> FreedBytes:
        now = self._clock.now()
        wanted = {"before": now - grace, "now": now, "most": most}
        # Only what a committed decision has doomed: the transaction below may be shared with a decision, and a commit
        # that fails would bring the rows back without their files.
        doomed = await self._catalog.read(lambda connection: connection.execute(_TO_REMOVE, wanted).all())
        if not doomed:
            await self._remove_objects(grace, most)
            return FreedBytes()
        committed = {row.digest for row in doomed}

        def work(connection: Connection) -> FreedBytes:
            # A push stores its file in a transaction too, so no file can come back between the look and the removal.
            found = [row for row in connection.execute(_TO_REMOVE, wanted) if row.digest in committed]
            by_cause: defaultdict[str, FreedBytes] = defaultdict(FreedBytes)
            for row in found:
                self._blobs.remove(Digest.parse(row.digest))
                by_cause[row.cause] += FreedBytes(1, row.size_bytes)
            if found:
                connection.execute(_REMOVED, [{"removed": row.digest} for row in found])
            _note_freed(connection, now, by_cause)
            return sum(by_cause.values(), FreedBytes())

        return await self._catalog.write_uncached(work)

    async def _remove_objects(self, grace: timedelta, most: int) -> None:
        """Delete the objects of the bucket that were doomed long enough ago."""
        while self._objects is not None and await self._objects.remove_doomed(grace, most):
            pass

    async def removable(self, grace: timedelta) -> FreedBytes:
        now = self._clock.now()
        wanted = {"before": now - grace, "now": now, "most": -1}
        chosen = _TO_REMOVE.subquery()
        counted = select(func.count(), func.coalesce(func.sum(chosen.c.size_bytes), 0)).select_from(chosen)
        row = await self._catalog.read_long(lambda connection: connection.execute(counted, wanted).one())
        return FreedBytes(*row)

    async def waiting(self, grace: Grace) -> WaitingContent:
        now = self._clock.now()

        def read(connection: Connection) -> WaitingContent:
            by_cause = select(reviews.c.cause, func.count()).group_by(reviews.c.cause)
            often = select(func.count()).select_from(reviews).where(reviews.c.attempts > _OFTEN)
            doomed = select(func.count(), func.coalesce(func.sum(doomed_files.c.size_bytes), 0)).select_from(
                doomed_files
            )
            freed = select(
                freed_content.c.cause, func.sum(freed_content.c.files), func.sum(freed_content.c.size_bytes)
            ).group_by(freed_content.c.cause)
            return WaitingContent(
                {ReviewCause(cause): number for cause, number in connection.execute(by_cause)},
                _count_due(connection, grace, now),
                _count_due(connection, grace, now - _OVERDUE),
                connection.execute(often).scalar_one(),
                FreedBytes(*connection.execute(doomed).one()),
                {ReviewCause(row[0]): FreedBytes(row[1], row[2]) for row in connection.execute(freed)},
            )

        return await self._catalog.read_long(read)

    async def doom_orphans(self, older_than: timedelta, prefix: str) -> int:
        now = self._clock.now()
        files = await in_thread("look for orphaned files", self._blobs.list_files, prefix)
        old = {digest: size_bytes for digest, size_bytes, changed_at in files if changed_at < now - older_than}
        unknown = await self._catalog.read_long(lambda connection: _unknown(connection, old))
        if not unknown:
            return 0

        def work(connection: Connection) -> int:
            # Looked up again: a push may have stored one of them before this turn.
            still = _unknown(connection, unknown)
            doomed = [
                {"digest": digest, "size_bytes": old[digest], "cause": ReviewCause.ORPHAN.value, "doomed_at": now}
                for digest in still
            ]
            rows.put(connection, doomed_files, *doomed)
            return len(doomed)

        return await self._catalog.write_uncached(work)

    async def compare(self) -> Mapping[ReviewKind, int]:
        now = self._clock.now()
        if await self._catalog.read(lambda connection: comparison.is_ahead(connection, now)):
            await self._catalog.write_uncached(lambda connection: comparison.set_right(connection, now))
        if left_over := await self._catalog.read_long(comparison.left_over):
            await self._catalog.write(lambda connection: comparison.forget_children(connection, left_over))
        found = {kind: await self._catalog.read_long(comparison.forgotten(kind, now)) for kind in ReviewKind}

        def work(connection: Connection) -> dict[ReviewKind, int]:
            return {
                kind: comparison.review_forgotten(connection, kind, keys, now) for kind, keys in found.items() if keys
            }

        return dict.fromkeys(ReviewKind, 0) | (await self._catalog.write(work) if any(found.values()) else {})


def _due(connection: Connection, rules: CollectionRules, now: datetime, most: int) -> Sequence[Row[Any]]:
    """Return the reviews that are due, the oldest of each cause first."""
    if connection.execute(_IS_INDEXED).scalar_one_or_none() is None:
        return []  # what the manifests name is not known yet
    if rules.all_since is not None:
        return connection.execute(_UNDECIDED, {"since": rules.all_since, "now": now, "most": most}).all()
    found: list[Row[Any]] = []
    for cause in ReviewCause:
        wanted = {"cause": cause.value, "before": now - rules.grace.of(cause), "most": most - len(found)}
        found += connection.execute(_DUE, wanted).all()
        if len(found) >= most:
            break
    return found


def _is_quiet(review: Row[Any], rules: CollectionRules) -> bool:
    """Return True if caches need not forget what the decision about a review removes.

    A cached blob that no manifest names has the time of its review. It counts from so long ago that a client who asks
    for the blob renews the review first, and then gets what the catalog says. Manifests are served from the cache.
    """
    is_old = rules.all_since is None and rules.grace.of(ReviewCause(review.cause)) >= RENEWED_AFTER
    return is_old and review.kind != ReviewKind.MANIFEST.value


def _count_due(connection: Connection, grace: Grace, now: datetime) -> int:
    wanted = [{"cause": cause.value, "before": now - grace.of(cause)} for cause in ReviewCause]
    return sum(connection.execute(_COUNTED_DUE, one).scalar_one() for one in wanted)


def _unknown(connection: Connection, found: Iterable[str]) -> list[str]:
    """Return the digests that have neither content nor a doomed file."""
    unknown: list[str] = []
    for part in rows.parts(found):
        known = set(connection.execute(_IS_KNOWN, {"found": part}).scalars())
        unknown += [digest for digest in part if digest not in known]
    return unknown


def _note_freed(connection: Connection, now: datetime, by_cause: Mapping[str, FreedBytes]) -> None:
    day = f"{now:%Y-%m-%d}"
    values = [
        {"day": day, "cause": cause, "files": freed.files, "size_bytes": freed.size_bytes}
        for cause, freed in by_cause.items()
    ]
    if values:
        connection.execute(_ADD_FREED, values)
