"""Deletions by an operator, in the catalog. Only rows go; the collection removes bytes that nothing needs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, delete, exists, func, select, union

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ManifestUnknown, ReferenceInUse, RepositoryUnknown
from mirror.records.lifecycle.deletions import Deletion, RepositoryContent
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog import review_rows, rows
from mirror.store.catalog.change_rows import note_tags
from mirror.store.catalog.child_rows import KEPT
from mirror.store.catalog.manifest_rows import remove_manifest, review_left_behind
from mirror.store.catalog.tables.content_tables import (
    ChildKind,
    incomplete_manifests,
    manifest_children,
    origins,
    repositories,
    repository_blobs,
    tags,
)
from mirror.store.catalog.tag_guards import require_all_deletable, require_deletable
from mirror.store.store_services import StoreServices

_NAMED: Final = bindparam("name", type_=repositories.c.name.type)
_HERE: Final = select(repositories.c.id).where(repositories.c.name == _NAMED).scalar_subquery()
#: Tags of an incomplete manifest are origins. Tags are names without a colon, and digests have one.
_PULLED: Final = (
    select(origins.c.target.label("tag"), origins.c.digest)
    .join(
        incomplete_manifests,
        (incomplete_manifests.c.repository == origins.c.repository)
        & (incomplete_manifests.c.digest == origins.c.digest),
    )
    .where(origins.c.repository == _NAMED, ~origins.c.target.contains(":"))
)
_TAGS: Final = union(
    select(tags.c.name.label("tag"), tags.c.digest).where(tags.c.repository_id == _HERE), _PULLED
).subquery()
_POINTED: Final = select(_TAGS.c.digest).where(_TAGS.c.tag == bindparam("wanted"))
_POINTING: Final = select(_TAGS.c.tag).where(_TAGS.c.digest == bindparam("about")).order_by(_TAGS.c.tag)
_IS_KEPT: Final = select(KEPT.c.digest).where(KEPT.c.repository == _NAMED, KEPT.c.digest == bindparam("about"))
_INDEXES: Final = (
    select(manifest_children.c.manifest)
    .where(
        manifest_children.c.repository == _NAMED,
        manifest_children.c.child == bindparam("about"),
        manifest_children.c.kind == ChildKind.MEMBER.value,
    )
    .order_by(manifest_children.c.manifest)
)
_NO_TAG: Final = delete(tags).where(tags.c.repository_id == _HERE, tags.c.name == bindparam("tag"))
_NO_ORIGIN: Final = delete(origins).where(origins.c.repository == _NAMED, origins.c.target == bindparam("tag"))
_MANIFESTS: Final = (
    select(KEPT.c.digest)
    .where(KEPT.c.repository == _NAMED, KEPT.c.created_at <= bindparam("before"))
    .distinct()
    .limit(bindparam("most"))
)
_BLOBS: Final = (
    select(repository_blobs.c.digest)
    .where(repository_blobs.c.repository_id == _HERE, repository_blobs.c.added_at <= bindparam("before"))
    .limit(bindparam("most"))
)
#: An empty repository is nobody's: a client may push to it next.
_NOT_PULLED: Final = delete(origins).where(
    origins.c.repository == _NAMED,
    ~exists().where(repositories.c.name == _NAMED),
    ~exists().where(incomplete_manifests.c.repository == _NAMED),
)
_NO_BLOB: Final = delete(repository_blobs).where(
    repository_blobs.c.repository_id == bindparam("of_repository"), repository_blobs.c.digest == bindparam("held")
)


class SqlDeletions:
    """Implements :class:`mirror.records.lifecycle.deletions.Deletions`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock
        self._immutable = services.immutable

    async def plan(self, repository: Repository, target: Tag | Digest) -> Deletion:
        return await self._catalog.read_long(lambda connection: self._plan(connection, repository, target))

    async def delete(self, repository: Repository, target: Tag | Digest) -> Deletion:
        now = self._clock.now()

        def work(connection: Connection) -> Deletion:
            planned = self._plan(connection, repository, target)
            if planned.has_gone:
                _delete_manifest(connection, repository, planned.digest, now)
            else:
                _delete_tags(connection, repository, planned, now)
            return planned

        return await self._catalog.write(work)

    async def content(self, repository: Repository) -> RepositoryContent:
        wanted = {"name": repository.name}

        def read(connection: Connection) -> RepositoryContent:
            require_all_deletable(connection, repository, self._immutable)
            kept = select(func.count(KEPT.c.digest.distinct())).where(KEPT.c.repository == _NAMED)
            blobs = select(func.count()).where(repository_blobs.c.repository_id == _HERE)
            tagged = select(func.count()).select_from(_TAGS)
            return RepositoryContent(*(connection.execute(one, wanted).scalar_one() for one in (tagged, kept, blobs)))

        found = await self._catalog.read_long(read)
        if not found:
            raise RepositoryUnknown(f"the registry has no repository {repository}", name=repository)
        return found

    async def empty(self, repository: Repository, came_before: datetime, most: int) -> int:
        now = self._clock.now()
        wanted = {"name": repository.name, "before": came_before, "most": most}

        def work(connection: Connection) -> int:
            require_all_deletable(connection, repository, self._immutable)
            manifests = connection.execute(_MANIFESTS, wanted).scalars().all()
            for digest in manifests:
                _delete_manifest(connection, repository, Digest.parse(digest), now)
            connection.execute(_NOT_PULLED, wanted)
            if manifests:
                return len(manifests)
            blobs = connection.execute(_BLOBS, wanted).scalars().all()
            repository_id = rows.find_repository(connection, repository)
            if not blobs or repository_id is None:
                return 0
            connection.execute(_NO_BLOB, [{"of_repository": repository_id, "held": digest} for digest in blobs])
            review_rows.review(connection, ReviewKind.CONTENT, "", blobs, ReviewCause.DELETED, now=now)
            rows.drop_repository_if_empty(connection, repository_id)
            connection.execute(_NOT_PULLED, wanted)
            return len(blobs)

        return await self._catalog.write(work)

    def _plan(self, connection: Connection, repository: Repository, target: Tag | Digest) -> Deletion:
        planned = _plan(connection, repository, target)
        require_deletable(connection, repository, target, self._immutable)
        return planned


def _plan(connection: Connection, repository: Repository, target: Tag | Digest) -> Deletion:
    digest = _digest(connection, repository, target)
    about = {"name": repository.name, "about": str(digest)}
    pointing = [Tag(tag) for tag in connection.execute(_POINTING, about).scalars()]
    indexes = [Digest.parse(index) for index in connection.execute(_INDEXES, about).scalars()]
    if isinstance(target, Tag):
        return Deletion(digest, [target], [tag for tag in pointing if tag != target], indexes, has_gone=False)
    if indexes:
        raise ReferenceInUse(
            f"{repository}@{digest} is part of {repository}@{indexes[0]}, which would be left incomplete; "
            "fix: delete that one first",
            name=repository,
            digest=digest,
        )
    return Deletion(digest, pointing, [], [], has_gone=True)


def _digest(connection: Connection, repository: Repository, target: Tag | Digest) -> Digest:
    """Return the digest of a target. Raises ManifestUnknown and RepositoryUnknown."""
    if isinstance(target, Tag):
        wanted = {"name": repository.name, "wanted": target.name}
        found = connection.execute(_POINTED, wanted).scalars().first()
    else:
        found = connection.execute(_IS_KEPT, {"name": repository.name, "about": str(target)}).scalars().first()
    if found is not None:
        return Digest.parse(found)
    if rows.find_repository(connection, repository) is None:
        raise RepositoryUnknown(f"the registry has no repository {repository}", name=repository)
    kind = "tag" if isinstance(target, Tag) else "manifest"
    raise ManifestUnknown(f"{repository} has no {kind} {target}", name=repository, reference=target)


def _delete_tags(connection: Connection, repository: Repository, planned: Deletion, now: datetime) -> None:
    for tag in planned.tags:
        wanted = {"name": repository.name, "tag": tag.name}
        connection.execute(_NO_TAG, wanted)
        connection.execute(_NO_ORIGIN, wanted)
    digests = [str(planned.digest)]
    note_tags(connection, now, repository, None, [(tag.name, digests[0]) for tag in planned.tags])
    review_rows.review(connection, ReviewKind.MANIFEST, repository.name, digests, ReviewCause.DELETED, now=now)


def _delete_manifest(connection: Connection, repository: Repository, digest: Digest, now: datetime) -> None:
    about = {"name": repository.name, "about": str(digest)}
    # The row of the digest itself stays: without it the repository would count as pushed to.
    for tag in connection.execute(_POINTING, about).scalars().all():
        connection.execute(_NO_ORIGIN, {"name": repository.name, "tag": tag})
    if rows.drop_incomplete(connection, repository, digest):
        review_left_behind(connection, repository, digest, ReviewCause.DELETED, now)
    remove_manifest(connection, repository, digest, ReviewCause.DELETED, now)
