"""Comparison of the whole catalog: content that nothing seems to need and that no review is about.

Each change writes the reviews of what it leaves behind. The comparison finds what a change has forgotten, and what was
there before this version. It only proposes: the decision looks for protectors as for every review.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, bindparam, exists, literal, or_, select, update

from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog import child_rows, review_rows
from mirror.store.catalog.child_rows import KEPT
from mirror.store.catalog.tables.collection_tables import content_holders, doomed_files, reviews
from mirror.store.catalog.tables.content_tables import (
    ChildKind,
    blobs,
    incomplete_manifests,
    manifest_children,
    manifests,
    repositories,
    repository_blobs,
    tags,
)
from mirror.store.collection.protectors import first_protector, reviewed_kin

#: Most rows of one kind that one comparison proposes.
_MOST: Final = 100_000
_CHILD = manifest_children.c
_NAMED = exists().where(
    _CHILD.repository == repositories.c.name,
    _CHILD.child == repository_blobs.c.digest,
    _CHILD.kind == ChildKind.BLOB.value,
)
_BLOBS = (
    select(repositories.c.name.label("repository"), repository_blobs.c.digest)
    .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
    .where(~_NAMED)
    .subquery()
)
_TAGGED = exists().where(
    repositories.c.name == KEPT.c.repository, tags.c.repository_id == repositories.c.id, tags.c.digest == KEPT.c.digest
)
_IS_MEMBER = exists().where(
    _CHILD.repository == KEPT.c.repository, _CHILD.child == KEPT.c.digest, _CHILD.kind == ChildKind.MEMBER.value
)
_MANIFESTS = select(KEPT.c.repository, KEPT.c.digest).where(~_TAGGED, ~_IS_MEMBER).subquery()
_CONTENT = (
    select(literal("").label("repository"), blobs.c.digest)
    .where(
        ~exists().where(repository_blobs.c.digest == blobs.c.digest),
        ~exists().where(manifests.c.digest == blobs.c.digest),
        ~exists().where(incomplete_manifests.c.digest == blobs.c.digest),
    )
    .subquery()
)
_LEFT_OVER = (
    select(_CHILD.repository, _CHILD.manifest)
    .where(~exists().where(KEPT.c.repository == _CHILD.repository, KEPT.c.digest == _CHILD.manifest))
    .distinct()
    .limit(_MOST)
)
_REVIEWED_KIN = reviewed_kin()
#: Times of a clock that is right are never further ahead than this: an import holds its content for a week.
_FURTHEST: Final = timedelta(days=8)
_AHEAD: Final[Sequence[tuple[Callable[[datetime], Any], Callable[[datetime], ColumnElement[bool]]]]] = (
    (
        lambda now: update(reviews).values(since=now, counts_from=now, decided_at=None),
        lambda now: or_(reviews.c.counts_from > now + _FURTHEST, reviews.c.decided_at > now + _FURTHEST),
    ),
    (
        lambda now: update(doomed_files).values(doomed_at=now),
        lambda now: doomed_files.c.doomed_at > now + _FURTHEST,
    ),
    (
        lambda now: update(content_holders).values(until=now + _FURTHEST),
        lambda now: content_holders.c.until > now + _FURTHEST,
    ),
)
_FOUND: Final = {ReviewKind.MANIFEST: _MANIFESTS, ReviewKind.BLOB: _BLOBS, ReviewKind.CONTENT: _CONTENT}


def is_ahead(connection: Connection, now: datetime) -> bool:
    """Return True if there are times that only a clock which was wrong can have written."""
    return any(connection.execute(select(exists().where(ahead(now)))).scalar_one() for _, ahead in _AHEAD)


def set_right(connection: Connection, now: datetime) -> None:
    """Let what a wrong clock has written begin now. Work holds its content for as long as any work may."""
    for statement, ahead in _AHEAD:
        connection.execute(statement(now).where(ahead(now)))


def left_over(connection: Connection) -> list[tuple[str, str]]:
    """Return the manifests, as pairs of repository and digest, that are gone and whose children were not forgotten.

    A server of a version without reviews, which has run on after an update, deletes like this.
    """
    return [(row.repository, row.manifest) for row in connection.execute(_LEFT_OVER)]


def forget_children(connection: Connection, manifests_gone: Sequence[tuple[str, str]]) -> None:
    """Remove the rows of manifests that are still gone. Only inside a transaction."""
    for repository, digest in manifests_gone:
        child_rows.forget(connection, repository, digest)


def forgotten(kind: ReviewKind, now: datetime) -> Callable[[Connection], Sequence[tuple[str, str]]]:
    """Return a function that reads the content of a kind, as pairs of repository and digest, that nothing keeps."""

    def read(connection: Connection) -> list[tuple[str, str]]:
        found = connection.execute(_candidates(kind).limit(_MOST)).all()
        keys = [(row.repository, row.digest) for row in found]
        return [key for key in keys if _is_unneeded(connection, kind, *key, now)]

    return read


def review_forgotten(connection: Connection, kind: ReviewKind, keys: Sequence[tuple[str, str]], now: datetime) -> int:
    """Write the reviews of found content. Return the number of those that had none. Only inside a transaction."""
    number = 0
    for repository, digest in keys:
        # Looked at again: a change since may need the content, or has written its review.
        wanted = {"name": repository, "about": digest}
        still = connection.execute(_candidate(kind), wanted).first() is not None
        if still and _is_unneeded(connection, kind, repository, digest, now):
            review_rows.review(connection, kind, repository, [digest], ReviewCause.FOUND, now=now)
            number += 1
    return number


def _is_unneeded(connection: Connection, kind: ReviewKind, repository: str, digest: str, now: datetime) -> bool:
    if first_protector(connection, kind, repository, digest, now) is not None:
        return False
    # With the end of the manifest under review, this one gets its own review.
    wanted = {"name": repository, "about": digest}
    return kind is not ReviewKind.MANIFEST or connection.execute(_REVIEWED_KIN, wanted).first() is None


@cache
def _candidate(kind: ReviewKind) -> Select[Any]:
    found = _candidates(kind).subquery()
    return select(found).where(found.c.repository == bindparam("name"), found.c.digest == bindparam("about"))


def _candidates(kind: ReviewKind) -> Select[Any]:
    found = _FOUND[kind]
    waits = exists().where(
        reviews.c.kind == kind.value, reviews.c.repository == found.c.repository, reviews.c.digest == found.c.digest
    )
    return select(found.c.repository, found.c.digest).where(~waits)
