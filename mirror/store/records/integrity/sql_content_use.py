"""Use of a piece of content, and where it came from, in the catalog."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Select, bindparam, func, literal, or_, select, union, union_all

from mirror.oci import Digest, Repository
from mirror.records.lifecycle.damage import ContentUse, OriginPlace
from mirror.store.catalog.child_rows import KEPT
from mirror.store.catalog.tables.content_tables import (
    ChildKind,
    manifest_children,
    origins,
    repositories,
    repository_blobs,
    tags,
)
from mirror.store.catalog.tables.sync_tables import mirrored_tags

#: Upstream repositories that are asked for one piece of content.
_MOST_PLACES: Final = 16
_ABOUT: BindParameter[str] = bindparam("about")
_CHILD = manifest_children.c


def _needing() -> Any:
    """Return the manifests that cannot be used without the content, itself included, with their repositories."""
    itself = select(KEPT.c.repository.label("repository"), KEPT.c.digest.label("digest")).where(KEPT.c.digest == _ABOUT)
    named_by = select(_CHILD.repository, _CHILD.manifest).where(
        _CHILD.child == _ABOUT, _CHILD.kind.in_([ChildKind.BLOB.value, ChildKind.MEMBER.value])
    )
    first = union(itself, named_by).subquery("first")
    needing = select(first.c.repository, first.c.digest).cte("needing", recursive=True)
    indexes = select(_CHILD.repository, _CHILD.manifest).join(
        needing,
        (_CHILD.repository == needing.c.repository)
        & (_CHILD.child == needing.c.digest)
        & (_CHILD.kind == ChildKind.MEMBER.value),
    )
    return needing.union(indexes)


_NEEDING = _needing()
_IN_TAGS = (
    select(repositories.c.name.label("repository"), tags.c.name.label("tag"))
    .join(repositories, repositories.c.id == tags.c.repository_id)
    .join(_NEEDING, (_NEEDING.c.repository == repositories.c.name) & (_NEEDING.c.digest == tags.c.digest))
    .distinct()
    .order_by(repositories.c.name, tags.c.name)
)
_AS_BLOB = (
    select(repositories.c.name)
    .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
    .where(repository_blobs.c.digest == _ABOUT)
)
_AS_MANIFEST = select(KEPT.c.repository).where(KEPT.c.digest == _ABOUT)


def _places() -> Select[Any]:
    """Return the places of the content: first of what needs it, then of everything else in the repositories."""
    holders = union(_AS_BLOB, _AS_MANIFEST).subquery("holders")
    came = [
        # The origin of a blob is kept under its own digest.
        select(origins.c.upstream, origins.c.source, literal(0).label("rank"))
        .join(_NEEDING, _NEEDING.c.repository == origins.c.repository)
        .where(or_(origins.c.digest == _NEEDING.c.digest, origins.c.digest == _ABOUT)),
        select(mirrored_tags.c.upstream, mirrored_tags.c.source, literal(0)).join(
            _NEEDING,
            (_NEEDING.c.repository == mirrored_tags.c.repository) & (_NEEDING.c.digest == mirrored_tags.c.digest),
        ),
        *(
            select(each.c.upstream, each.c.source, literal(1)).where(each.c.repository.in_(select(holders.c[0])))
            for each in (origins, mirrored_tags)
        ),
    ]
    found = union_all(*came).subquery("came")
    return (
        select(found.c.upstream, found.c.source)
        .group_by(found.c.upstream, found.c.source)
        .order_by(func.min(found.c.rank), found.c.upstream, found.c.source)
        .limit(_MOST_PLACES)
    )


_PLACES = _places()


def use_of(connection: Connection, digest: Digest) -> ContentUse:
    """Return what needs a piece of content, and where it came from."""
    about = {"about": str(digest)}
    as_manifest = set(connection.execute(_AS_MANIFEST, about).scalars())
    names = as_manifest | set(connection.execute(_AS_BLOB, about).scalars())
    return ContentUse(
        [Repository(name) for name in sorted(names)],
        bool(as_manifest),
        [f"{row.repository}:{row.tag}" for row in connection.execute(_IN_TAGS, about)],
        [OriginPlace(row.upstream, Repository(row.source)) for row in connection.execute(_PLACES, about)],
    )
