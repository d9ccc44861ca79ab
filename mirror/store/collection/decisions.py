"""The decision about one review, inside a transaction: find a protector, or remove the rows and doom the bytes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, exists, insert, select, update

from mirror.oci import Digest, Repository
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import CollectionRules, DecidedReviews, ReviewKind
from mirror.store.bucket.object_rows import doom_objects_of
from mirror.store.catalog import child_rows, review_rows, rows
from mirror.store.catalog.manifest_rows import remove_manifest, review_left_behind
from mirror.store.catalog.tables.collection_tables import doomed_files, reviews
from mirror.store.catalog.tables.content_tables import (
    ChildKind,
    blobs,
    incomplete_manifests,
    origins,
    repositories,
    repository_blobs,
)
from mirror.store.collection.protectors import first_protector, last_use

#: Names in reports of the reasons that are no rows of the catalog.
UPLOAD_OPEN: Final = "an open upload"
UNTAGGED_KEPT: Final = "storage.untagged"
#: A review with a reason that passes is decided again after this time, and later each time that it is postponed.
_FIRST_PAUSE: Final = timedelta(minutes=5)
_LONGEST_PAUSE: Final = timedelta(days=1)

_KEY = (
    reviews.c.kind == bindparam("of_kind"),
    reviews.c.repository == bindparam("of_repository"),
    reviews.c.digest == bindparam("of_digest"),
)
_DONE = delete(reviews).where(*_KEY)
_POSTPONED = (
    update(reviews)
    .where(*_KEY)
    .values(counts_from=bindparam("from"), decided_at=bindparam("at"), attempts=reviews.c.attempts + bindparam("more"))
)
_NO_LONGER_HELD = delete(repository_blobs).where(
    repository_blobs.c.repository_id == bindparam("of_repository"), repository_blobs.c.digest == bindparam("about")
)
_NO_LONGER_STORED = delete(blobs).where(blobs.c.digest == bindparam("about")).returning(blobs.c.size_bytes)
_DOOMED = insert(doomed_files)
_OTHER = origins.alias()
_PULLED_MANIFEST = delete(origins).where(origins.c.repository == bindparam("of_name"), origins.c.target.contains(":"))
#: The last origin of a repository stays while it holds anything: without it the repository would count as pushed to.
_FORGOTTEN = _PULLED_MANIFEST.where(
    origins.c.target == bindparam("about"),
    exists().where(_OTHER.c.repository == bindparam("of_name"), _OTHER.c.target != bindparam("about")),
)
_ALL_FORGOTTEN = _PULLED_MANIFEST.where(
    ~exists().where(repositories.c.name == bindparam("of_name")),
    ~exists().where(incomplete_manifests.c.repository == bindparam("of_name")),
)
_INCOMPLETE = select(incomplete_manifests.c.digest).where(
    incomplete_manifests.c.repository == bindparam("of_name"), incomplete_manifests.c.digest == bindparam("about")
)


@dataclass(slots=True)
class Deciding:
    """Decides reviews in one transaction.

    Args:
        connection: the connection of the transaction.
        rules: what decisions need besides the catalog.
        now: the present time.
    """

    connection: Connection
    rules: CollectionRules
    now: datetime
    _protected: Counter[str] = field(default_factory=Counter)
    _decided: int = 0
    _removed: int = 0
    _doomed: int = 0
    _doomed_bytes: int = 0
    _untagged_until: datetime | None = None

    @property
    def _left_at(self) -> datetime:
        """Time of the reviews of what a decision leaves behind. A run that decides everything decides these too."""
        return self.rules.all_since or self.now

    @property
    def result(self) -> DecidedReviews:
        """Result so far."""
        return DecidedReviews(
            self._decided,
            self._removed,
            self._doomed,
            self._doomed_bytes,
            dict(sorted(self._protected.items())),
            self._untagged_until,
        )

    def decide(self, review: Row[Any]) -> None:
        """Decide a review. The row is one of the table of reviews, and may be outdated."""
        kind, cause = ReviewKind(review.kind), ReviewCause(review.cause)
        self._decided += 1
        protector = first_protector(self.connection, kind, review.repository, review.digest, self.now)
        if protector is not None:
            self._protected[protector.name] += 1
            if protector.passes:
                self._pause(review)
            else:
                self._done(review)
                self._review_subject(review)
            return
        if kind is not ReviewKind.CONTENT and review.repository in self.rules.uploading:
            self._protected[UPLOAD_OPEN] += 1
            self._pause(review)
            return
        if kind is ReviewKind.MANIFEST and (until := self._kept_until(review)) is not None:
            self._protected[UNTAGGED_KEPT] += 1
            self._postpone(review, until)
            return
        self._done(review)
        if kind is ReviewKind.MANIFEST:
            self._remove_manifest(review, cause)
        elif kind is ReviewKind.BLOB:
            self._remove_blob(review, cause)
        else:
            self._doom(review.digest, cause)

    def _review_subject(self, review: Row[Any]) -> None:
        """Review the subject of a manifest that stays: only a tag of its referrer keeps a subject."""
        if review.kind == ReviewKind.MANIFEST.value:
            named = child_rows.children(self.connection, review.repository, review.digest)
            subjects = [child for child in named if child[1] is ChildKind.SUBJECT]
            cause = ReviewCause(review.cause)
            review_rows.review_children(self.connection, review.repository, subjects, cause, self._left_at)

    def _kept_until(self, review: Row[Any]) -> datetime | None:
        """Return the time until which the manifest stays although nothing needs it; None if this time is over."""
        keep = self.rules.untagged_of(review.repository)
        wanted = {"name": review.repository, "about": review.digest, "now": self.now}
        times = [time for time in self.connection.execute(_LAST_USE, wanted).one() if time is not None]
        if not times:  # the cause is a decision of a rule, or the manifest is gone
            return None
        if keep is None:
            return self.now + _LONGEST_PAUSE
        until: datetime = max(times) + keep
        if until <= self.now:
            return None
        self._untagged_until = min(until, self._untagged_until or until)
        return until

    def _remove_manifest(self, review: Row[Any], cause: ReviewCause) -> None:
        repository, digest = Repository(review.repository), Digest.parse(review.digest)
        wanted = {"of_name": review.repository, "about": review.digest}
        removed = False
        if self.connection.execute(_INCOMPLETE, wanted).scalar_one_or_none() is not None:
            rows.drop_incomplete(self.connection, repository, digest)
            review_left_behind(self.connection, repository, digest, cause, self._left_at)
            removed = True
        removed |= remove_manifest(self.connection, repository, digest, cause, self._left_at)
        if removed:
            self._removed += 1
            self.connection.execute(_FORGOTTEN, wanted)
            self.connection.execute(_ALL_FORGOTTEN, wanted)
            self._doom_unless_needed(review.digest, cause)

    def _remove_blob(self, review: Row[Any], cause: ReviewCause) -> None:
        repository_id = rows.find_repository(self.connection, Repository(review.repository))
        if repository_id is None:
            return
        wanted = {"of_repository": repository_id, "about": review.digest}
        if self.connection.execute(_NO_LONGER_HELD, wanted).rowcount:
            self._removed += 1
            rows.drop_repository_if_empty(self.connection, repository_id)
            self.connection.execute(_ALL_FORGOTTEN, {"of_name": review.repository})
            self._doom_unless_needed(review.digest, cause)

    def _doom_unless_needed(self, digest: str, cause: ReviewCause) -> None:
        protector = first_protector(self.connection, ReviewKind.CONTENT, "", digest, self.now)
        if protector is None:
            self._doom(digest, cause)
        elif protector.passes:
            review_rows.review(self.connection, ReviewKind.CONTENT, "", [digest], cause, now=self._left_at)

    def _doom(self, digest: str, cause: ReviewCause) -> None:
        # A foreign key of each holder would refuse this if a protector were forgotten.
        size_bytes = self.connection.execute(_NO_LONGER_STORED, {"about": digest}).scalar_one_or_none()
        if size_bytes is None:
            return
        row = {"digest": digest, "size_bytes": size_bytes, "cause": cause.value, "doomed_at": self.now}
        self.connection.execute(_DOOMED, row)
        doom_objects_of(self.connection, [digest], self.now)
        review = {"of_kind": ReviewKind.CONTENT.value, "of_repository": "", "of_digest": digest}
        self.connection.execute(_DONE, review)
        self._removed += 1
        self._doomed += 1
        self._doomed_bytes += size_bytes

    def _done(self, review: Row[Any]) -> None:
        self.connection.execute(_DONE, _key(review))

    def _pause(self, review: Row[Any]) -> None:
        pause = min(_FIRST_PAUSE * 2 ** min(review.attempts, 10), _LONGEST_PAUSE)
        self._put_off(review, self.now + pause, more=1)

    def _postpone(self, review: Row[Any], until: datetime) -> None:
        # The settings may change, so the end is not trusted for long.
        self._put_off(review, min(until, self.now + _LONGEST_PAUSE), more=0)

    def _put_off(self, review: Row[Any], until: datetime, *, more: int) -> None:
        # The row says from when the grace counts.
        grace = self.rules.grace.of(ReviewCause(review.cause))
        self.connection.execute(_POSTPONED, {**_key(review), "from": until - grace, "at": self.now, "more": more})


_LAST_USE = last_use()


def _key(review: Row[Any]) -> dict[str, str]:
    return {"of_kind": review.kind, "of_repository": review.repository, "of_digest": review.digest}
