"""Guards of tags: what may not be moved, and what may not be deleted. All functions run inside a transaction."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, bindparam, exists, or_, select

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import Protected
from mirror.records.lifecycle.pushed_tags import ImmutableTags
from mirror.store.catalog.tables.collection_tables import pins
from mirror.store.catalog.tables.content_tables import origins, repositories, tags

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
_POINTING: Final = _OWN.where(tags.c.digest == bindparam("to"))
_PINNED: Final = (
    select(pins.c.target, pins.c.note)
    .where(
        pins.c.repository == bindparam("at_repository"),
        or_(
            pins.c.target == bindparam("to"),
            exists()
            .where(
                repositories.c.name == bindparam("at_repository"),
                tags.c.repository_id == repositories.c.id,
                tags.c.name == pins.c.target,
                tags.c.digest == bindparam("to"),
            )
            .correlate(pins),
            exists()
            .where(
                origins.c.repository == bindparam("at_repository"),
                origins.c.target == pins.c.target,
                origins.c.digest == bindparam("to"),
            )
            .correlate(pins),
        ),
    )
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
    """Check that a tag, or a manifest with the tags that point to it, may be deleted.

    Raises:
        Protected: the tag or manifest is pinned, or a tag is immutable.
    """
    wanted = {"at_repository": repository.name, "to": str(target)}
    if (pin := connection.execute(_PINNED, wanted).one_or_none()) is not None:
        name = f"{repository}{'@' if ':' in pin.target else ':'}{pin.target}"
        note = f" ({pin.note})" if pin.note else ""
        raise Protected(
            f"{name} is pinned{note}; fix: plugin-mirror unpin {name}", name=repository, reference=pin.target
        )
    if isinstance(target, Tag):
        named = {"at_repository": repository.name, "names": [target.name]}
        found = connection.execute(_NAMED, named) if immutable(repository, target) else ()
    else:
        found = connection.execute(_POINTING, wanted)
    for row in found:
        if immutable(repository, Tag(row.name)):
            raise Protected(
                f"{repository}:{row.name} is immutable; fix: change immutable under repositories: in the configuration",
                name=repository,
                reference=row.name,
            )
