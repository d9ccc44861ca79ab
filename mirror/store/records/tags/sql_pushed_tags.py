"""Pushed tags, and retention's changes to them, in the catalog."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy import Connection, bindparam, case, delete, exists, or_, select

from mirror.oci import Digest, Repository, Tag
from mirror.records.lifecycle.pushed_tags import PushedTag, RepositoryTags, RetiredTag
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.records.sync_runs import TagChange, TagEvent
from mirror.store.catalog import review_rows
from mirror.store.catalog.change_rows import note_tags
from mirror.store.catalog.tables.access_tables import decisions, verdicts
from mirror.store.catalog.tables.collection_tables import pins
from mirror.store.catalog.tables.content_tables import ChildKind, manifest_children, repositories, tags
from mirror.store.catalog.tables.sync_tables import pulls
from mirror.store.records.lifecycle.work_rows import find_work, put_work
from mirror.store.records.sql_sync_runs import add_event
from mirror.store.store_services import StoreServices

#: Name of the row of ``long_work`` for the recording of pulls.
_PULLS: Final = "record pulls"

_NAME = bindparam("name", type_=repositories.c.name.type)
_PINNED = exists().where(
    pins.c.repository == repositories.c.name, or_(pins.c.target == tags.c.name, pins.c.target == tags.c.digest)
)
_DECIDED = exists().where(decisions.c.repository == repositories.c.name, decisions.c.digest == tags.c.digest)
_APPROVED = _DECIDED.where(decisions.c.approved)
#: The policy holds the plugin until somebody decides about it.
_HELD = exists().where(
    verdicts.c.repository == repositories.c.name, verdicts.c.digest == tags.c.digest, verdicts.c.action == "hold"
)
_KEPT_BY = case(
    (_PINNED, "a pin"), (_APPROVED, "an approval"), ((_HELD & ~_DECIDED), "an open admission decision"), else_=""
)
_HERE = select(tags.c.name, tags.c.digest, tags.c.updated_at, tags.c.pushed, _KEPT_BY.label("kept_by")).join(
    repositories, repositories.c.id == tags.c.repository_id
)
_TAGS: Final = _HERE.where(repositories.c.name == _NAME)
_ONE: Final = _HERE.where(repositories.c.name == _NAME, tags.c.name == bindparam("wanted"), tags.c.pushed)
_DROPPED: Final = delete(tags).where(
    tags.c.repository_id == select(repositories.c.id).where(repositories.c.name == _NAME).scalar_subquery(),
    tags.c.name == bindparam("wanted"),
)
_WITH_PUSHED: Final = (
    select(repositories.c.name)
    .where(exists().where(tags.c.repository_id == repositories.c.id, tags.c.pushed))
    .order_by(repositories.c.name)
)
_PULLED: Final = select(pulls.c.target).where(pulls.c.repository == _NAME, pulls.c.pulled_at >= bindparam("since"))
_MEMBERS: Final = select(manifest_children.c.manifest, manifest_children.c.child).where(
    manifest_children.c.repository == _NAME, manifest_children.c.kind == ChildKind.MEMBER.value
)


class SqlPushedTags:
    """Implements :class:`mirror.records.lifecycle.pushed_tags.PushedTags`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock
        self._immutable = services.immutable

    async def repositories(self) -> Sequence[Repository]:
        found = await self._catalog.read_long(lambda connection: connection.execute(_WITH_PUSHED).scalars().all())
        return list(map(Repository, found))

    async def tags_of(self, repository: Repository, pulled_since: datetime | None) -> RepositoryTags:
        wanted = {"name": repository.name}

        def read(connection: Connection) -> RepositoryTags:
            found = connection.execute(_TAGS, wanted).all()
            since = {**wanted, "since": pulled_since}
            pulled = () if pulled_since is None else connection.execute(_PULLED, since).scalars()
            members: defaultdict[Digest, set[Digest]] = defaultdict(set)
            for row in connection.execute(_MEMBERS, wanted):
                members[Digest.parse(row.manifest)].add(Digest.parse(row.child))
            return RepositoryTags(
                [
                    PushedTag(Tag(row.name), Digest.parse(row.digest), row.updated_at, row.kept_by)
                    for row in found
                    if row.pushed
                ],
                frozenset(pulled),
                members,
                frozenset(Digest.parse(row.digest) for row in found if not row.pushed),
            )

        return await self._catalog.read_long(read)

    async def pulls_known_since(self) -> datetime | None:
        row = await self._catalog.read(partial(find_work, name=_PULLS))
        return None if row is None else row.started_at

    async def retire(self, tags: Sequence[RetiredTag]) -> Sequence[RetiredTag]:
        now = self._clock.now()

        def work(connection: Connection) -> list[RetiredTag]:
            return [one for one in tags if self._retire(connection, one, now)]

        return await self._catalog.write(work) if tags else []

    async def note_recording(self) -> None:
        """Note that pulls are recorded from now on, unless they were before."""
        now = self._clock.now()
        if await self.pulls_known_since() is None:
            await self._catalog.write_uncached(partial(put_work, name=_PULLS, state={}, now=now))

    def _retire(self, connection: Connection, one: RetiredTag, now: datetime) -> bool:
        """Drop a tag, unless it was pushed, pinned or approved since the decision."""
        name, tag = one.repository.name, one.tag
        wanted = {"name": name, "wanted": tag.tag.name}
        row = connection.execute(_ONE, wanted).one_or_none()
        as_decided = (str(tag.digest), tag.pushed_at, "")
        if row is None or (row.digest, row.updated_at, row.kept_by) != as_decided:
            return False
        if self._immutable(one.repository, tag.tag):
            return False
        connection.execute(_DROPPED, wanted)
        note_tags(connection, now, one.repository, None, [(tag.tag.name, str(tag.digest))])
        review_rows.review(connection, ReviewKind.MANIFEST, name, [str(tag.digest)], ReviewCause.RETIRED, now=now)
        add_event(connection, TagEvent(one.repository, tag.tag, now, TagChange.DROPPED, tag.digest, None, "retention"))
        return True
