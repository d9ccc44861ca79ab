"""Rows of the repositories with pulled-through content, read in batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, exists, func, select, union_all

from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog import rows
from mirror.store.catalog.child_rows import KEPT
from mirror.store.catalog.tables.access_tables import decisions, verdicts
from mirror.store.catalog.tables.collection_tables import content_holders, held_content, pins, reviews
from mirror.store.catalog.tables.content_tables import (
    ChildKind,
    blobs,
    derivations,
    incomplete_manifests,
    manifest_children,
    manifests,
    origins,
    repositories,
    repository_blobs,
    tags,
)
from mirror.store.catalog.tables.sync_tables import pulls
from mirror.store.records.pulled.pulled_repository import HeldTag, PulledFrom, PulledRepository

_NAMES: BindParameter[Sequence[str]] = bindparam("names", expanding=True)
_DIGESTS: BindParameter[Sequence[str]] = bindparam("digests", expanding=True)

_REPOSITORIES: Final = select(origins.c.repository).distinct().order_by(origins.c.repository)
_TAGS: Final = (
    select(repositories.c.name.label("repository"), tags.c.name, tags.c.digest, tags.c.pushed)
    .join(tags, tags.c.repository_id == repositories.c.id)
    .where(repositories.c.name.in_(_NAMES))
)
_ORIGINS: Final = select(origins).where(origins.c.repository.in_(_NAMES))
_KEPT: Final = select(KEPT.c.repository, KEPT.c.digest, KEPT.c.created_at).where(KEPT.c.repository.in_(_NAMES))
_CHILDREN: Final = select(manifest_children).where(manifest_children.c.repository.in_(_NAMES))
_BLOBS: Final = (
    select(repositories.c.name.label("repository"), repository_blobs.c.digest)
    .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
    .where(repositories.c.name.in_(_NAMES))
)
_PULLS: Final = select(pulls.c.repository, pulls.c.target, pulls.c.pulled_at).where(pulls.c.repository.in_(_NAMES))
_UNDECIDED = ~exists().where(decisions.c.repository == verdicts.c.repository, decisions.c.digest == verdicts.c.digest)
#: Tags and digests that an operator keeps, or whose approval waits or was given.
_PROTECTED: Final = union_all(
    select(pins.c.repository, pins.c.target).where(pins.c.repository.in_(_NAMES)),
    select(decisions.c.repository, decisions.c.digest).where(
        decisions.c.repository.in_(_NAMES), decisions.c.approved.is_(True)
    ),
    select(verdicts.c.repository, verdicts.c.digest).where(
        verdicts.c.repository.in_(_NAMES), verdicts.c.action == PolicyAction.HOLD.value, _UNDECIDED
    ),
)
_LEAVING: Final = select(reviews.c.repository, reviews.c.digest).where(
    reviews.c.kind.in_([ReviewKind.MANIFEST.value, ReviewKind.BLOB.value]),
    reviews.c.repository.in_(_NAMES),
    reviews.c.cause == ReviewCause.EVICTED.value,
)
_ORIGINALS: Final = (
    select(derivations.c.original).join(manifests, manifests.c.digest == derivations.c.digest).distinct()
)
_WORKED_ON: Final = (
    select(held_content.c.repository, held_content.c.digest)
    .join(content_holders, content_holders.c.id == held_content.c.holder)
    .where(content_holders.c.until > bindparam("now"))
)
_SIZES: Final = select(blobs.c.digest, blobs.c.size_bytes).where(blobs.c.digest.in_(_DIGESTS))
#: Every row of every repository that needs the bytes of a digest.
_HOLDING: Final = union_all(
    *(
        select(table.c.digest, func.count().label("number"))
        .where(table.c.digest.in_(_DIGESTS))
        .group_by(table.c.digest)
        for table in (repository_blobs, manifests, incomplete_manifests)
    )
)


def names(connection: Connection) -> Sequence[str]:
    """Return the names of the repositories that pull-through has brought something of."""
    return connection.execute(_REPOSITORIES).scalars().all()


@dataclass(frozen=True, slots=True)
class ContentInUse:
    """Content of all repositories that stays for a reason that no row of its repository tells.

    Attributes:
        originals: digests of manifests of which there is a derived copy.
        held: pairs of repository and digest that work under way needs; either may be empty for all.
        downloading: digests of blobs that are being downloaded.
    """

    originals: frozenset[str]
    held: Sequence[tuple[str, str]]
    downloading: Collection[str]


def read_work(connection: Connection, downloading: Collection[str], now: datetime) -> ContentInUse:
    """Read what is in use at the moment."""
    originals = connection.execute(_ORIGINALS).scalars()
    held = connection.execute(_WORKED_ON, {"now": now})
    return ContentInUse(frozenset(originals), [(row.repository, row.digest) for row in held], downloading)


def read(connection: Connection, wanted: Sequence[str], work: ContentInUse) -> list[PulledRepository]:
    """Read repositories by their names, not very many at a time."""
    found = {name: PulledRepository(name) for name in wanted}
    texts: dict[str, str] = {}

    def rows_of(statement: Select[Any] | Any) -> Iterator[tuple[PulledRepository, Row[Any]]]:
        for row in connection.execute(statement, {"names": wanted}):
            yield found[row.repository], row

    def one(text: str) -> str:
        return texts.setdefault(text, text)  # a layer is named by many rows

    for repository, row in rows_of(_TAGS):
        repository.tags[row.name] = HeldTag(one(row.digest), row.pushed)
    for repository, row in rows_of(_ORIGINS):
        origin = PulledFrom(row.upstream, one(row.digest), row.checked_at, row.asked_at)
        repository.origins[one(row.target)] = origin
    for repository, row in rows_of(_KEPT):
        repository.came_at[one(row.digest)] = row.created_at
        repository.held[one(row.digest)] += 1
    for repository, row in rows_of(_BLOBS):
        repository.held[one(row.digest)] += 1
    for repository, row in rows_of(_CHILDREN):
        repository.children[one(row.manifest)].append((one(row.child), ChildKind(row.kind)))
    for repository, row in rows_of(_PULLS):
        repository.pulled_at[one(row.target)] = row.pulled_at
    for repository, row in rows_of(_PROTECTED):
        repository.protected.add(one(row.target))
    for repository, row in rows_of(_LEAVING):
        repository.leaving.add(one(row.digest))
    for repository in found.values():
        repository.protected |= work.originals & repository.came_at.keys()
        here = {digest for name, digest in work.held if name in {"", repository.name}}
        repository.worked_on = None if "" in here else {*here, *work.downloading}
    return list(found.values())


def sizes(connection: Connection, wanted: Collection[str]) -> Mapping[str, int]:
    """Return the sizes in bytes of content by digest."""
    return {
        row.digest: row.size_bytes
        for part in rows.parts(wanted)
        for row in connection.execute(_SIZES, {"digests": part})
    }


def holding(connection: Connection, wanted: Collection[str]) -> Mapping[str, int]:
    """Return the number of rows of all repositories that hold content, by digest."""
    counted: dict[str, int] = {}
    for part in rows.parts(wanted):
        for row in connection.execute(_HOLDING, {"digests": part}):
            counted[row.digest] = counted.get(row.digest, 0) + row.number
    return counted
