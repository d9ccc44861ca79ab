"""Removal of blobs and bytes that nothing needs, many reviews at a time, inside a transaction.

Most reviews are about blobs of a deleted manifest, and nothing protects them. One statement finds these, and a few
statements remove them all. :mod:`mirror.store.collection.decisions` decides about the other reviews, one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, insert, select

from mirror.records.lifecycle.reviews import CollectionRules, DecidedReviews, ReviewKind
from mirror.store.bucket.object_rows import doom_objects_of
from mirror.store.catalog.tables.collection_tables import doomed_files, reviews
from mirror.store.catalog.tables.content_tables import blobs, repositories, repository_blobs
from mirror.store.collection.protectors import is_unprotected

_DIGESTS: BindParameter[Any] = bindparam("digests", expanding=True)
_UNNEEDED_BLOBS: Final = (
    select(repositories.c.id, repository_blobs.c.digest)
    .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
    .where(
        repositories.c.name == bindparam("name"),
        repository_blobs.c.digest.in_(_DIGESTS),
        is_unprotected(ReviewKind.BLOB, repository_blobs.c.digest),
    )
)
_UNNEEDED_CONTENT: Final = select(blobs.c.digest, blobs.c.size_bytes).where(
    blobs.c.digest.in_(_DIGESTS), is_unprotected(ReviewKind.CONTENT, blobs.c.digest)
)
_NO_LONGER_HELD: Final = delete(repository_blobs).where(
    repository_blobs.c.repository_id == bindparam("of_repository"), repository_blobs.c.digest == bindparam("gone")
)
_NO_LONGER_STORED: Final = delete(blobs).where(blobs.c.digest == bindparam("gone"))
_DONE: Final = delete(reviews).where(
    reviews.c.kind == bindparam("of_kind"),
    reviews.c.repository == bindparam("of_repository"),
    reviews.c.digest == bindparam("gone"),
)


def remove_unneeded(
    connection: Connection, due: Sequence[Row[Any]], rules: CollectionRules, now: datetime
) -> tuple[Sequence[Row[Any]], DecidedReviews]:
    """Remove the blobs and bytes among due reviews that nothing protects.

    Args:
        connection: the connection of the transaction.
        due: rows of the table of reviews, at most a few hundred.
        rules: what decisions need besides the catalog.
        now: the present time.

    Returns:
        The reviews that are left to decide, in their order, and what was done about the others.
    """
    removed = _unneeded_blobs(connection, due, rules, now)
    if removed:
        connection.execute(
            _NO_LONGER_HELD, [{"of_repository": owner, "gone": digest} for (_, digest), owner in removed.items()]
        )
        _done(connection, ReviewKind.BLOB, removed)
    causes = {row.digest: row.cause for row in due if row.kind == ReviewKind.CONTENT.value}
    bytes_alone = set(causes)
    causes |= {row.digest: row.cause for row in due if _key(row) in removed and row.kind == ReviewKind.BLOB.value}
    doomed = _doom(connection, causes, now)
    decided = len(removed) + len(bytes_alone & doomed.keys())
    left = [
        row
        for row in due
        if not (row.kind == ReviewKind.BLOB.value and _key(row) in removed)
        and not (row.kind == ReviewKind.CONTENT.value and row.digest in doomed)
    ]
    return left, DecidedReviews(decided, len(removed) + len(doomed), len(doomed), sum(doomed.values()))


def _unneeded_blobs(
    connection: Connection, due: Sequence[Row[Any]], rules: CollectionRules, now: datetime
) -> dict[tuple[str, str], int]:
    """Return the blobs that nothing protects, by name of the repository and digest, with the id of the repository."""
    by_repository: defaultdict[str, list[str]] = defaultdict(list)
    for row in due:
        if row.kind == ReviewKind.BLOB.value and row.repository not in rules.uploading:
            by_repository[row.repository].append(row.digest)
    unneeded: dict[tuple[str, str], int] = {}
    for name, digests in by_repository.items():
        wanted = {"name": name, "digests": digests, "now": now}
        # A repository may end with its last blob, which is decided like any other review.
        for found in connection.execute(_UNNEEDED_BLOBS, wanted).all()[:-1]:
            unneeded[name, found.digest] = found.id
    return unneeded


def _doom(connection: Connection, causes: dict[str, str], now: datetime) -> dict[str, int]:
    """Remove the rows of content that no repository holds, and doom its bytes. Return the sizes by digest."""
    wanted = {"name": "", "digests": list(causes), "now": now}
    found = connection.execute(_UNNEEDED_CONTENT, wanted) if causes else ()
    doomed = {row.digest: row.size_bytes for row in found}
    if doomed:
        # A foreign key of each holder would refuse this if a protector were forgotten.
        connection.execute(_NO_LONGER_STORED, [{"gone": digest} for digest in doomed])
        connection.execute(
            insert(doomed_files),
            [
                {"digest": digest, "size_bytes": size_bytes, "cause": causes[digest], "doomed_at": now}
                for digest, size_bytes in doomed.items()
            ],
        )
        doom_objects_of(connection, doomed, now)
        _done(connection, ReviewKind.CONTENT, [("", digest) for digest in doomed])
    return doomed


def _done(connection: Connection, kind: ReviewKind, about: Iterable[tuple[str, str]]) -> None:
    connection.execute(
        _DONE, [{"of_kind": kind.value, "of_repository": name, "gone": digest} for name, digest in about]
    )


def _key(row: Row[Any]) -> tuple[str, str]:
    return row.repository, row.digest
