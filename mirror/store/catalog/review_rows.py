"""Rows of reviews: content that a change may have left without a user. All functions run inside a transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, bindparam, case, select, update
from sqlalchemy.dialects.sqlite import insert

from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog.tables.collection_tables import reviews
from mirror.store.catalog.tables.content_tables import ChildKind

#: A client that is told "you have it" moves a review on, unless it was moved within this time. Less than any grace.
RENEWED_AFTER: Final = timedelta(minutes=10)

_KIND_OF_CHILD: Final = {
    ChildKind.BLOB: ReviewKind.BLOB,
    ChildKind.MEMBER: ReviewKind.MANIFEST,
    # A tagged referrer keeps its subject.
    ChildKind.SUBJECT: ReviewKind.MANIFEST,
}
_KEY = list(reviews.primary_key)
_NEW = insert(reviews)
#: An eviction may have no grace, and a push under way relies on that of what it has stored.
_IS_PUSHED = and_(reviews.c.cause == ReviewCause.STORED.value, _NEW.excluded.cause == ReviewCause.EVICTED.value)
#: A review that waits already is postponed: the grace begins again.
_UPSERT = _NEW.on_conflict_do_update(
    index_elements=_KEY,
    set_={
        "cause": case((_IS_PUSHED, reviews.c.cause), else_=_NEW.excluded.cause),
        "counts_from": _NEW.excluded.counts_from,
        "decided_at": None,
        "attempts": 0,
    },
)
_RENEW = (
    update(reviews)
    .where(
        reviews.c.kind == bindparam("of_kind"),
        reviews.c.repository == bindparam("name"),
        reviews.c.digest == bindparam("about"),
        reviews.c.counts_from <= bindparam("before"),
    )
    .values(counts_from=bindparam("now"))
)
_COUNTS_FROM = select(reviews.c.counts_from).where(
    reviews.c.kind == bindparam("of_kind"),
    reviews.c.repository == bindparam("name"),
    reviews.c.digest == bindparam("about"),
)


def review(
    connection: Connection,
    kind: ReviewKind,
    repository: str,
    digests: Iterable[str],
    cause: ReviewCause,
    *,
    now: datetime,
) -> None:
    """Queue reviews, or postpone those that wait already.

    Args:
        connection: the connection of the transaction.
        kind: kind of the content.
        repository: name of the repository; empty for bytes.
        digests: digests of the content.
        cause: the event.
        now: the present time.
    """
    values = [
        {
            "kind": kind.value,
            "repository": repository,
            "digest": digest,
            "cause": cause.value,
            "since": now,
            "counts_from": now,
            "decided_at": None,
            "attempts": 0,
        }
        for digest in digests
    ]
    if values:
        connection.execute(_UPSERT, values)


def review_children(
    connection: Connection,
    repository: str,
    children: Iterable[tuple[str, ChildKind]],
    cause: ReviewCause,
    now: datetime,
) -> None:
    """Queue reviews for what a manifest named that its repository no longer holds.

    Args:
        connection: the connection of the transaction.
        repository: name of the repository.
        children: pairs of digest and kind, as :func:`mirror.store.catalog.child_rows.children` returns them.
        cause: the event.
        now: the present time.
    """
    by_kind: dict[ReviewKind, list[str]] = {}
    for digest, kind in children:
        if kind in _KIND_OF_CHILD:
            by_kind.setdefault(_KIND_OF_CHILD[kind], []).append(digest)
    for kind_of_review, digests in by_kind.items():
        review(connection, kind_of_review, repository, digests, cause, now=now)


def is_old(counts_from: datetime | None, now: datetime) -> bool:
    """Return True if a review is to be renewed that counts from a time; None if there is no review."""
    return counts_from is not None and counts_from <= now - RENEWED_AFTER


def renew(connection: Connection, kind: ReviewKind, repository: str, digest: str, now: datetime) -> None:
    """Postpone a review, if there is an old one."""
    wanted = {"of_kind": kind.value, "name": repository, "about": digest, "now": now, "before": now - RENEWED_AFTER}
    connection.execute(_RENEW, wanted)


def counts_from(connection: Connection, kind: ReviewKind, repository: str, digest: str) -> datetime | None:
    """Return the time from which the grace of some content counts; None if no review is about it."""
    wanted = {"of_kind": kind.value, "name": repository, "about": digest}
    found: datetime | None = connection.execute(_COUNTS_FROM, wanted).scalar_one_or_none()
    return found
