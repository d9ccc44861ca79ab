"""Owners of tags, in the catalog: clients that pushed them, rules that brought them, and pull-through."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, exists, select

from mirror.oci import Digest, Repository, Tag
from mirror.records.origins import Origin, OtherTags
from mirror.records.sync_runs import BUNDLE_OWNER, MirroredTag
from mirror.store.catalog.tables.content_tables import origins, repositories, tags
from mirror.store.catalog.tables.sync_tables import mirrored_tags
from mirror.store.records.sql_origins import origin_of, put_origin
from mirror.store.store_services import StoreServices

_REPOSITORY: Final = select(repositories.c.id).where(repositories.c.name == bindparam("at_repository"))
_TAGS: Final = select(tags.c.name, tags.c.pushed).where(tags.c.repository_id == _REPOSITORY.scalar_subquery())
# Tags are names without a colon, and digests have one.
_PULLED: Final = select(origins).where(
    origins.c.repository == bindparam("at_repository"), ~origins.c.target.contains(":")
)
_AS_BROUGHT: Final = select(tags.c.name).where(
    tags.c.repository_id == _REPOSITORY.scalar_subquery(),
    tags.c.name == bindparam("at_tag"),
    tags.c.digest == bindparam("brought"),
    ~tags.c.pushed,
)
_BROUGHT_HERE: Final = (
    select(mirrored_tags)
    .join(repositories, repositories.c.name == mirrored_tags.c.repository)
    .join(
        tags,
        (tags.c.repository_id == repositories.c.id)
        & (tags.c.name == mirrored_tags.c.tag)
        & (tags.c.digest == mirrored_tags.c.digest),
    )
    .where(
        ~tags.c.pushed,
        # A bundle is no rule that could be gone: what it brought never follows an upstream.
        ~mirrored_tags.c.rule.startswith(BUNDLE_OWNER, autoescape=True),
        ~exists().where(origins.c.repository == mirrored_tags.c.repository, origins.c.target == mirrored_tags.c.tag),
    )
)


class SqlTagOwners:
    """Reads the owners of tags, and gives tags of rules to pull-through."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock
        self._immutable = services.immutable

    async def other_tags(self, repository: Repository) -> OtherTags:
        """See :class:`mirror.records.sync_runs.RunRecorder`."""
        wanted = {"at_repository": repository.name}

        def read(connection: Connection) -> OtherTags:
            found = {Tag(row.name): row.pushed for row in connection.execute(_TAGS, wanted)}
            pulled = {Tag(row.target): origin_of(row) for row in connection.execute(_PULLED, wanted)}
            return OtherTags(
                frozenset(tag for tag, pushed in found.items() if pushed),
                pulled,
                frozenset(tag for tag in found if tag not in pulled and self._immutable(repository, tag)),
            )

        return await self._catalog.read_long(read)

    async def brought_here(self) -> Sequence[MirroredTag]:
        """Return the tags of all repositories that still are as a rule brought them, without an origin."""
        found = await self._catalog.read_long(lambda connection: connection.execute(_BROUGHT_HERE).all())
        return [mirrored_tag(row) for row in found]

    async def release(self, brought: Collection[MirroredTag], confirmed_before: datetime) -> None:
        """Record tags that a rule brought as pulled through from the source of the rule.

        Tags that were moved or deleted meanwhile stay as they are.

        Args:
            brought: the tags.
            confirmed_before: latest time that is recorded as the time of the last confirmation.
        """
        now = self._clock.now()

        def work(connection: Connection) -> None:
            for one in brought:
                if connection.execute(_AS_BROUGHT, _key(one)).scalar_one_or_none() is not None:
                    at = min(one.brought_at, confirmed_before)
                    origin = Origin(one.upstream, one.source, one.digest, checked_at=at, asked_at=at)
                    put_origin(connection, one.repository, one.tag, origin, now)

        await self._catalog.write(work)


def mirrored_tag(row: Row[Any]) -> MirroredTag:
    """Read a mirrored tag from a row."""
    return MirroredTag(
        Repository(row.repository),
        Tag(row.tag),
        row.rule,
        row.upstream,
        Repository(row.source),
        Digest.parse(row.digest),
        Digest.parse(row.upstream_digest),
        row.brought_at,
        row.gone_at,
        row.dropped_at,
        _digest(row.original),
        row.changes,
    )


def _key(mirrored: MirroredTag) -> dict[str, str]:
    return {"at_repository": mirrored.repository.name, "at_tag": mirrored.tag.name, "brought": str(mirrored.digest)}


def _digest(text: str | None) -> Digest | None:
    return None if text is None else Digest.parse(text)
