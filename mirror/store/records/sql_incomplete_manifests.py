"""Pulled-through manifests that name content which is not in their repository yet."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import BindParameter, Connection, bindparam, case, delete, exists, func, or_, select

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import ManifestBlobUnknown
from mirror.oci.platform_selection import member_platforms
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.records.admission.arrivals import ContentSource
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.records.origins import Origin
from mirror.store.catalog import child_rows, review_rows, rows
from mirror.store.catalog.damage_rows import is_whole
from mirror.store.catalog.manifest_loader import StoredManifest
from mirror.store.catalog.manifest_rows import hold_manifest, referrer_columns
from mirror.store.catalog.tables.content_tables import (
    blobs,
    incomplete_children,
    incomplete_manifests,
    manifests,
    origins,
    repositories,
    repository_blobs,
    tags,
)
from mirror.store.records.admission.arrival_rows import note_arrival
from mirror.store.records.sql_absent_content import add_absent, put_absent
from mirror.store.records.sql_origins import origin_of, put_origin
from mirror.store.store_services import StoreServices

_NAME: BindParameter[str] = bindparam("name")
_WANTED: BindParameter[str] = bindparam("wanted")
_HERE = incomplete_manifests.c.repository == _NAME
_MANIFESTS = (
    select(incomplete_manifests.c.digest, incomplete_manifests.c.media_type, blobs.c.size_bytes)
    .join(blobs, blobs.c.digest == incomplete_manifests.c.digest)
    .where(is_whole(incomplete_manifests.c.digest))
)
_ONE = _MANIFESTS.where(_HERE, incomplete_manifests.c.digest == _WANTED)
_KEPT_AT = select(incomplete_manifests.c.kept_at).where(_HERE, incomplete_manifests.c.digest == _WANTED)

#: Incomplete manifests whose content has all come, each with one of its children.
_CHILD = incomplete_children.c
_HELD = or_(
    *(
        exists().where(
            repositories.c.name == _CHILD.repository,
            holding.c.repository_id == repositories.c.id,
            holding.c.digest == _CHILD.digest,
        )
        for holding in (repository_blobs, manifests)
    )
)
_WHOLE = (
    select(_CHILD.repository, func.min(_CHILD.digest).label("child"))
    .group_by(_CHILD.repository, _CHILD.manifest)
    .having(func.min(case((_HELD, 1), else_=0)) == 1)
)
#: The next incomplete manifest of a repository that names a given child.
_NEXT_NAMING = (
    _MANIFESTS.join(
        incomplete_children,
        (_CHILD.repository == incomplete_manifests.c.repository) & (_CHILD.manifest == incomplete_manifests.c.digest),
    )
    .where(_HERE, _CHILD.digest == _WANTED, _CHILD.manifest > bindparam("after"))
    .order_by(_CHILD.manifest)
    .limit(1)
)
_LACKING = select(_CHILD.digest).where(_CHILD.repository == _NAME, _CHILD.manifest == _WANTED, ~_HELD).limit(1)


class SqlIncompleteManifests:
    """Implements :class:`mirror.records.origins.IncompleteManifests`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._blobs = services.blobs
        self._adoption = services.adoption
        self._cache = services.cache
        self._clock = services.clock
        self._manifests = services.manifests

    async def keep_incomplete(
        self,
        repository: Repository,
        manifest: Manifest,
        origin: Origin,
        tag: Tag | None = None,
        absent: Collection[AbsentContent] = (),
    ) -> None:
        referrer_columns(manifest)  # raises now if the complete manifest could not be stored later
        now = self._clock.now()
        left_out = {each.digest for each in absent}
        children = [
            {"digest": str(child.digest), "size_bytes": child.size_bytes}
            for child in (*manifest.blobs, *manifest.manifests)
            if child.digest not in left_out
        ]

        def hold(connection: Connection) -> None:
            key = {"repository": repository.name, "manifest": str(manifest.digest)}
            note_arrival(connection, repository, manifest, ContentSource(origin.upstream, origin.source), now)
            # An earlier row goes with its children, which the foreign key removes.
            rows.drop_incomplete(connection, repository, manifest.digest)
            row = {"digest": str(manifest.digest), "media_type": manifest.media_type, "kept_at": now}
            rows.put(connection, incomplete_manifests, {"repository": repository.name, **row})
            rows.put(connection, incomplete_children, *({**child, **key} for child in children))
            if manifest.manifests:
                put_absent(connection, repository, manifest.digest, absent)
            child_rows.index(connection, repository, manifest)
            review_rows.review(
                connection, ReviewKind.MANIFEST, repository.name, [str(manifest.digest)], ReviewCause.FETCHED, now=now
            )
            put_origin(connection, repository, manifest.digest, origin, now)
            if tag is not None and not _is_held(connection, repository, tag):
                put_origin(connection, repository, tag, origin, now)
            # All content may be in the repository already. Then the manifest is complete at once.
            _complete(connection, repository, manifest, now)

        async with self._blobs.staged(manifest.content) as file:
            size_bytes = manifest.size_bytes
            await self._adoption.adopt(file, manifest.digest, size_bytes=size_bytes, now=now, hold=hold)

    async def incomplete(self, repository: Repository, digest: Digest) -> Manifest | None:
        wanted = {"name": repository.name, "wanted": str(digest)}
        manifest = await self._manifests.find(repository, _ONE, wanted)
        if manifest is not None:
            self._cache.keep_body(manifest)
        return manifest

    async def awaited(self, repository: Repository, digest: Digest) -> tuple[int, Origin] | None:
        child = incomplete_children.c
        key = (origins.c.repository == child.repository) & (origins.c.target == child.manifest)
        statement = (
            select(child.size_bytes, origins)
            .join(origins, key)
            .where(child.repository == repository.name, child.digest == str(digest))
            .limit(1)
        )
        row = await self._catalog.read(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else (row.size_bytes, origin_of(row))

    async def gave_up(self, repository: Repository, digest: Digest) -> None:
        waiting = select(_CHILD.manifest).where(_CHILD.repository == repository.name, _CHILD.digest == str(digest))
        for name in await self._catalog.read(lambda connection: connection.execute(waiting).scalars().all()):
            await self._give_up(repository, Digest.parse(name), digest)

    async def _give_up(self, repository: Repository, waiting: Digest, digest: Digest) -> None:
        """Let one manifest wait no longer for a member."""
        manifest = await self.incomplete(repository, waiting)
        platforms = {} if manifest is None else dict(member_platforms(manifest.manifests))
        if digest not in platforms:  # a blob: that nobody has a manifest with its digest says nothing about the blob
            return
        gone = AbsentContent(waiting, digest, AbsenceReason.GONE, str(platforms[digest] or ""))
        of_manifest = (_CHILD.repository == repository.name, _CHILD.manifest == str(waiting))

        def forget(connection: Connection) -> str | None:
            add_absent(connection, repository, gone)
            connection.execute(delete(incomplete_children).where(*of_manifest, _CHILD.digest == str(digest)))
            return connection.execute(select(_CHILD.digest).where(*of_manifest, _HELD).limit(1)).scalar_one_or_none()

        # Without any member the manifest stays incomplete: nobody could use it.
        if (held := await self._catalog.write(forget)) is not None:
            await self.arrived(repository, Digest.parse(held))

    async def arrived(self, repository: Repository, digest: Digest) -> None:
        # A manifest that becomes complete arrives itself: an index may have waited for it.
        arrived = [digest]
        while arrived:
            child, after = arrived.pop(), ""
            while (found := await self._next_naming(repository, child, after)) is not None:
                is_whole, row = found
                after = str(row.digest)
                if is_whole and await self._complete(repository, row):
                    arrived.append(row.digest)

    async def complete_whole(self) -> None:
        """Complete manifests whose content has all come, which a stopped process has left incomplete."""
        for row in await self._catalog.read(lambda connection: connection.execute(_WHOLE).all()):
            await self.arrived(Repository(row.repository), Digest.parse(row.child))

    async def _next_naming(
        self, repository: Repository, child: Digest, after: str
    ) -> tuple[bool, StoredManifest] | None:
        """Find the next incomplete manifest that names a child.

        Args:
            repository: the repository of the manifests.
            child: the blob or manifest that they name.
            after: the digest of the manifest found before; empty for the first.

        Returns:
            True if all children of the manifest have come, and the manifest. None if there is no further one.
        """
        wanted = {"name": repository.name, "wanted": str(child), "after": after}

        def find(connection: Connection) -> tuple[bool, StoredManifest] | None:
            row = connection.execute(_NEXT_NAMING, wanted).one_or_none()
            if row is None:
                return None
            lacking = connection.execute(_LACKING, {"name": repository.name, "wanted": row.digest})
            return lacking.scalar_one_or_none() is None, StoredManifest.of(row)

        return await self._catalog.read(find)

    async def _complete(self, repository: Repository, row: StoredManifest) -> bool:
        """Make an incomplete manifest a complete one, if all its content has come. Return True if it did."""
        manifest = await self._manifests.load(repository, row)
        self._cache.keep_body(manifest)
        now = self._clock.now()
        return await self._catalog.write(lambda connection: _complete(connection, repository, manifest, now))


def _is_held(connection: Connection, repository: Repository, tag: Tag) -> bool:
    """Check whether a tag was not pulled through. It stays as it is, even if it came during the request upstream."""
    pulled = exists().where(origins.c.repository == repository.name, origins.c.target == tag.name)
    held = (
        select(tags.c.name)
        .join(repositories, repositories.c.id == tags.c.repository_id)
        .where(repositories.c.name == repository.name, tags.c.name == tag.name, ~pulled)
    )
    return connection.execute(held).scalar_one_or_none() is not None


def _complete(connection: Connection, repository: Repository, manifest: Manifest, now: datetime) -> bool:
    """Make an incomplete manifest a complete one, with its pulled-through tags, if all its content has come.

    Returns:
        True if the manifest is complete now.
    """
    came_at = connection.execute(_KEPT_AT, {"name": repository.name, "wanted": str(manifest.digest)}).scalar()
    if came_at is None:
        return False  # removed since it was looked up
    pointing = select(origins.c.target).where(
        origins.c.repository == repository.name, origins.c.digest == str(manifest.digest)
    )
    targets = connection.execute(pointing).scalars()
    pointing_tags = [Tag(target) for target in targets if target != str(manifest.digest)]
    referrer = referrer_columns(manifest)
    try:
        hold_manifest(
            connection,
            repository,
            manifest,
            pointing_tags,
            now=now,
            referrer=referrer,
            pushed=False,
            came_at=came_at,
        )
    except ManifestBlobUnknown:
        # hold_manifest() may have created the row of the repository before it found that a child is missing.
        rows.drop_repository_if_empty(connection, rows.ensure_repository(connection, repository))
        return False
    return True
