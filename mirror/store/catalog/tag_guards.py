"""Guards of tags: what may not be moved, and what may not be deleted. All functions run inside a transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import CTE, ColumnElement, Connection, Select, bindparam, exists, or_, select

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import Protected
from mirror.records.lifecycle.pushed_tags import ImmutableTags, none_immutable
from mirror.store.catalog.tables.collection_tables import pins
from mirror.store.catalog.tables.content_tables import ChildKind, manifest_children, origins, repositories, tags

#: Tags that stand here for themselves. A pulled-through tag is the upstream's, and is never immutable.
_OWN = (
    select(tags.c.name, tags.c.digest)
    .join(repositories, repositories.c.id == tags.c.repository_id)
    .where(
        repositories.c.name == bindparam("at_repository"),
        ~exists().where(origins.c.repository == bindparam("at_repository"), origins.c.target == tags.c.name),
    )
)
_NAMED: Final = _OWN.where(tags.c.name.in_(bindparam("names", expanding=True)))


def _named_by() -> CTE:
    """Return a digest, the manifests of its repository that name it, the indexes of these, and so on."""
    found = select(bindparam("to", type_=tags.c.digest.type).label("digest")).cte("named_by", recursive=True)
    return found.union(
        select(manifest_children.c.manifest).where(
            manifest_children.c.repository == bindparam("at_repository"),
            manifest_children.c.child == found.c.digest,
            manifest_children.c.kind.in_([ChildKind.BLOB.value, ChildKind.MEMBER.value]),
        )
    )


_NAMED_BY: Final = _named_by()


def _is_above(digest: ColumnElement[str]) -> ColumnElement[bool]:
    return digest.in_(select(_NAMED_BY.c.digest))


_POINTING: Final = _OWN.where(_is_above(tags.c.digest))
#: Pins of a tag or digest, and those of which it is a part.
_PINNED: Final = (
    select(pins.c.target, pins.c.note)
    .where(
        pins.c.repository == bindparam("at_repository"),
        or_(
            pins.c.target == bindparam("to"),
            _is_above(pins.c.target),
            exists()
            .where(
                repositories.c.name == bindparam("at_repository"),
                tags.c.repository_id == repositories.c.id,
                tags.c.name == pins.c.target,
                _is_above(tags.c.digest),
            )
            .correlate(pins),
            exists()
            .where(
                origins.c.repository == bindparam("at_repository"),
                origins.c.target == pins.c.target,
                _is_above(origins.c.digest),
            )
            .correlate(pins),
        ),
    )
    .order_by(pins.c.target)
    .limit(1)
)

_ANY_PIN: Final = (
    select(pins.c.target, pins.c.note)
    .where(pins.c.repository == bindparam("at_repository"))
    .order_by(pins.c.target)
    .limit(1)
)


def require_movable(
    connection: Connection, repository: Repository, wanted: Digest, names: Collection[Tag], immutable: ImmutableTags
) -> None:
    """Check that tags may point to a digest.

    Raises:
        Protected: one of the tags is immutable and points to another digest.
    """
    fixed = [tag.name for tag in names if immutable(repository, tag)]
    if not fixed:
        return
    for row in connection.execute(_NAMED, {"at_repository": repository.name, "names": fixed}):
        if row.digest != str(wanted):
            raise Protected(
                f"{repository}:{row.name} is immutable and points to {row.digest}; fix: push under another tag, or "
                "change immutable under repositories: in the configuration",
                name=repository,
                reference=row.name,
                digest=row.digest,
            )


def require_deletable(
    connection: Connection, repository: Repository, target: Tag | Digest, immutable: ImmutableTags
) -> None:
    """Check that a tag, or content with the tags and manifests that need it, may be deleted.

    Args:
        connection: the connection of the transaction.
        repository: the repository.
        target: the tag, or the digest of a manifest or blob.
        immutable: the tags that may not move.

    Raises:
        Protected: a tag or manifest that the deletion would remove or break is pinned, or the tag is immutable.
    """
    wanted = {"at_repository": repository.name, "to": str(target)}
    _require_unpinned(connection, repository, _PINNED, wanted)
    if immutable is none_immutable:
        return
    if isinstance(target, Tag):
        named = {"at_repository": repository.name, "names": [target.name]}
        found = connection.execute(_NAMED, named)
    else:
        found = connection.execute(_POINTING, wanted)
    _require_none(repository, found.scalars(), immutable)


def require_all_deletable(connection: Connection, repository: Repository, immutable: ImmutableTags) -> None:
    """Check that a whole repository may be deleted.

    Raises:
        Protected: a tag or manifest of the repository is pinned, or a tag is immutable.
    """
    wanted = {"at_repository": repository.name}
    _require_unpinned(connection, repository, _ANY_PIN, wanted)
    if immutable is not none_immutable:
        _require_none(repository, connection.execute(_OWN, wanted).scalars(), immutable)


def _require_unpinned(
    connection: Connection, repository: Repository, pinned: Select[Any], wanted: Mapping[str, str]
) -> None:
    pin = connection.execute(pinned, wanted).one_or_none()
    if pin is not None:
        name = f"{repository}{'@' if ':' in pin.target else ':'}{pin.target}"
        note = f" ({pin.note})" if pin.note else ""
        raise Protected(
            f"{name} is pinned{note}; fix: plugin-mirror unpin {name}", name=repository, reference=pin.target
        )


def _require_none(repository: Repository, names: Iterable[str], immutable: ImmutableTags) -> None:
    for name in names:
        if immutable(repository, Tag(name)):
            raise Protected(
                f"{repository}:{name} is immutable; fix: change immutable under repositories: in the configuration",
                name=repository,
                reference=name,
            )
