"""Eviction of artifacts in the catalog. Only inside :meth:`Catalog.write`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, delete, select, union_all

from mirror.oci import Repository
from mirror.records.lifecycle.pulled_content import PulledArtifact
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog import review_rows
from mirror.store.catalog.change_rows import note_tags
from mirror.store.catalog.child_rows import KEPT
from mirror.store.catalog.tables.collection_tables import pins
from mirror.store.catalog.tables.content_tables import origins, repositories, tags
from mirror.store.catalog.tables.sync_tables import pulls

_NAME: BindParameter[str] = bindparam("of_name")
_WANTED: BindParameter[Any] = bindparam("wanted", expanding=True)
_USED_AT: BindParameter[datetime] = bindparam("used_at")
_ID = select(repositories.c.id).where(repositories.c.name == _NAME).scalar_subquery()

_TAGS: Final = select(tags.c.name, tags.c.digest).where(tags.c.repository_id == _ID, tags.c.name.in_(_WANTED))
_PUSHED: Final = (
    select(repositories.c.name)
    .join(tags, tags.c.repository_id == repositories.c.id)
    .where(repositories.c.name.in_(_WANTED), tags.c.pushed)
    .distinct()
)
_ORIGINS: Final = select(origins.c.target).where(origins.c.repository == _NAME, origins.c.target.in_(_WANTED))
#: What was pulled or pinned since the artifact was read.
_IN_USE: Final = union_all(
    select(pins.c.target).where(pins.c.repository == _NAME, pins.c.target.in_(_WANTED)),
    select(pulls.c.target).where(
        pulls.c.repository == _NAME, pulls.c.target.in_(_WANTED), pulls.c.pulled_at > _USED_AT
    ),
    select(origins.c.target).where(
        origins.c.repository == _NAME,
        origins.c.target.in_(_WANTED),
        ~origins.c.target.contains(":"),
        origins.c.asked_at > _USED_AT,
    ),
)
_HELD: Final = select(KEPT.c.digest).where(KEPT.c.repository == _NAME, KEPT.c.digest.in_(_WANTED))
_UNTAG: Final = delete(tags).where(tags.c.repository_id == _ID, tags.c.name.in_(_WANTED))
_FORGET: Final = delete(origins).where(origins.c.repository == _NAME, origins.c.target.in_(_WANTED))


def evict(connection: Connection, artifacts: Sequence[PulledArtifact], now: datetime) -> list[PulledArtifact]:
    """Evict artifacts. Return those that were evicted.

    Others have changed, or were pulled or pinned, since they were read. A repository that was pushed to since stays as
    a whole: it is not pulled through any more.
    """
    names = {"wanted": sorted({artifact.repository for artifact in artifacts})}
    pushed = set(connection.execute(_PUSHED, names).scalars())
    return [each for each in artifacts if each.repository not in pushed and _evict(connection, each, now)]


def _evict(connection: Connection, artifact: PulledArtifact, now: datetime) -> bool:
    """Remove the tags of an artifact, and review what they pointed to.

    The origins of digests stay: a repository that holds content without any origin counts as pushed to.

    Returns:
        False if the artifact stays.
    """

    def found(statement: Select[Any] | Any, wanted: tuple[str, ...]) -> list[Row[Any]]:
        values = {"of_name": artifact.repository, "wanted": list(wanted), "used_at": artifact.used_at}
        return list(connection.execute(statement, values).all())

    held = {row.digest for row in found(_HELD, artifact.digests)}
    pulled = {row.target for row in found(_ORIGINS, artifact.tags)}
    is_same = held == set(artifact.digests) and pulled == set(artifact.tags)
    is_same &= all(row.digest in held for row in found(_TAGS, artifact.tags))
    if not is_same or found(_IN_USE, (*artifact.tags, *artifact.digests)):
        return False
    values = {"of_name": artifact.repository, "wanted": list(artifact.tags)}
    note_tags(
        connection,
        now,
        Repository(artifact.repository),
        None,
        [(row.name, row.digest) for row in found(_TAGS, artifact.tags)],
        reason="evicted",
    )
    connection.execute(_UNTAG, values)
    connection.execute(_FORGET, values)
    review_rows.review(
        connection, ReviewKind.MANIFEST, artifact.repository, artifact.digests, ReviewCause.EVICTED, now=now
    )
    return True
