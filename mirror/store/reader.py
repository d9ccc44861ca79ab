"""Reading from the store: from memory if nothing has changed, else from the catalog and the disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, select

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NotFound, RepositoryUnknown, StorageDamaged
from mirror.oci.media_types import OCTET_STREAM
from mirror.oci.remote_storage_errors import NotCached
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.registry.port import Blob
from mirror.store.catalog import rows
from mirror.store.catalog.catalog_cache import Held
from mirror.store.catalog.damage_rows import is_whole
from mirror.store.catalog.manifest_loader import StoredManifest
from mirror.store.catalog.tables.collection_tables import damaged_content, reviews
from mirror.store.catalog.tables.content_tables import (
    absent_content,
    blobs,
    manifests,
    repositories,
    repository_blobs,
    tags,
)
from mirror.store.collection.renewals import Renewals
from mirror.store.store_services import StoreServices
from mirror.wire.ranges import RangeRequest


def _is_about(kind: ReviewKind) -> ColumnElement[bool]:
    return and_(
        reviews.c.kind == kind.value,
        reviews.c.repository == bindparam("repository"),
        reviews.c.digest == blobs.c.digest,
    )


_BY_DIGEST = (
    select(manifests.c.digest, manifests.c.media_type, blobs.c.size_bytes, reviews.c.counts_from)
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .join(blobs, blobs.c.digest == manifests.c.digest)
    .join(reviews, _is_about(ReviewKind.MANIFEST), isouter=True)
    .where(
        repositories.c.name == bindparam("repository"),
        manifests.c.digest == bindparam("target"),
        is_whole(manifests.c.digest),
    )
)
#: A tag of a damaged manifest is found, and reading it fails. A mirror that follows this registry would delete the tag
#: if it were told that the tag is gone.
_BY_TAG = (
    select(manifests.c.digest, manifests.c.media_type, blobs.c.size_bytes, reviews.c.counts_from)
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .join(blobs, blobs.c.digest == manifests.c.digest)
    .join(reviews, _is_about(ReviewKind.MANIFEST), isouter=True)
    .join(tags, (tags.c.repository_id == manifests.c.repository_id) & (tags.c.digest == manifests.c.digest))
    .where(repositories.c.name == bindparam("repository"), tags.c.name == bindparam("target"))
)
_BLOB = (
    select(blobs.c.size_bytes, reviews.c.counts_from)
    .join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
    .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
    .join(reviews, _is_about(ReviewKind.BLOB), isouter=True)
    .where(
        repositories.c.name == bindparam("repository"),
        blobs.c.digest == bindparam("digest"),
        is_whole(blobs.c.digest),
    )
)
_WHY_DAMAGED = {
    held: select(damaged_content.c.problem)
    .join(held, held.c.digest == damaged_content.c.digest)
    .join(repositories, repositories.c.id == held.c.repository_id)
    .where(repositories.c.name == bindparam("repository"), damaged_content.c.digest == bindparam("target"))
    for held in (repository_blobs, manifests)
}
_WHY_ABSENT = select(absent_content.c.reason, absent_content.c.detail).where(
    absent_content.c.repository == bindparam("repository"), absent_content.c.digest == bindparam("target")
)


class StoreReader:
    """Implements :class:`mirror.registry.port.Reader`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._cache = services.cache
        self._blobs = services.blobs
        self._manifests = services.manifests
        self._cold = services.cold
        self._renewals = Renewals(services)

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        held = self._cache.manifest(repository, target) or await self._read_manifest(repository, target)
        # A tag keeps what it points to. A client that asks for a digest may be about to push an index with it.
        if isinstance(target, Digest) and self._renewals.are_due(held.counts_from):
            await self._renewals.renew(ReviewKind.MANIFEST, repository, target)
            held = await self._read_manifest(repository, target)
        return held.found.descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        held = self._cache.manifest(repository, target)
        return held.found if held is not None else (await self._read_manifest(repository, target)).found

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        held = await self._blob(repository, digest)
        if self._renewals.are_due(held.counts_from):
            await self._renewals.renew(ReviewKind.BLOB, repository, digest)
            held = await self._read_blob(repository, digest)  # it may have been collected meanwhile
        return Descriptor(OCTET_STREAM, digest, held.found)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        held = await self._blob(repository, digest)
        async with AsyncExitStack() as stack:
            try:
                blob = await stack.enter_async_context(self._blobs.open(digest, held.found, part))
            except StorageDamaged:
                # It may have been collected, or even stored again, between the look-up and the opening.
                held = await self._read_blob(repository, digest)
                blob = await stack.enter_async_context(self._open(repository, digest, held.found, part))
            yield blob

    @asynccontextmanager
    async def _open(
        self, repository: Repository, digest: Digest, size_bytes: int, part: RangeRequest | None
    ) -> AsyncIterator[Blob]:
        async with AsyncExitStack() as stack:
            try:
                blob = await stack.enter_async_context(self._blobs.open(digest, size_bytes, part))
            except NotCached:
                if self._cold.content is None:
                    raise
                cold = self._cold.content.open(repository, digest, size_bytes, part)
                blob = await stack.enter_async_context(cold)
            yield blob

    async def _read_manifest(self, repository: Repository, target: Tag | Digest) -> Held[Manifest]:
        try:
            return await self._load_manifest(repository, target)
        except StorageDamaged:  # as for blobs
            return await self._load_manifest(repository, target)

    async def _load_manifest(self, repository: Repository, target: Tag | Digest) -> Held[Manifest]:
        # Taken before the read: after a change in between, the kept result is not valid.
        generation = self._cache.generation

        def read(connection: Connection) -> Held[StoredManifest | Manifest]:
            statement = _BY_TAG if isinstance(target, Tag) else _BY_DIGEST
            wanted = {"repository": repository.name, "target": str(target)}
            row = connection.execute(statement, wanted).one_or_none()
            if row is None:
                raise _no_manifest(connection, repository, target)
            return Held(self._manifests.load_small(StoredManifest.of(row)), row.counts_from)

        found, counts_from = await self._catalog.read(read)
        held = Held(await self._manifests.load(repository, found), counts_from)
        # A client looks up a tag first and asks for its digest next, so both are kept.
        for known in {target, held.found.digest}:
            self._cache.keep_manifest(generation, repository, known, held)
        return held

    async def _blob(self, repository: Repository, digest: Digest) -> Held[int]:
        return self._cache.blob(repository, digest) or await self._read_blob(repository, digest)

    async def _read_blob(self, repository: Repository, digest: Digest) -> Held[int]:
        generation = self._cache.generation
        wanted = {"repository": repository.name, "digest": str(digest)}

        def read(connection: Connection) -> Held[int]:
            row = connection.execute(_BLOB, wanted).one_or_none()
            if row is None:
                raise _no_blob(connection, repository, digest)
            return Held(row.size_bytes, row.counts_from)

        held = await self._catalog.read(read)
        self._cache.keep_blob(generation, repository, digest, held)
        return held


def _no_blob(connection: Connection, repository: Repository, digest: Digest) -> BlobUnknown:
    message = _damage(connection, repository, digest, repository_blobs) or f"{repository} has no blob {digest}"
    return BlobUnknown(message, name=repository, digest=digest)


def _damage(connection: Connection, repository: Repository, digest: Digest, held: Table) -> str | None:
    """Return a sentence about the damage of content that a repository has; None if it has no such content."""
    wanted = {"repository": repository.name, "target": str(digest)}
    problem = connection.execute(_WHY_DAMAGED[held], wanted).scalar_one_or_none()
    if problem is None:
        return None
    return f"{digest} is damaged here ({problem}); fix: push it again, or see 'plugin-mirror scrub'"


def _no_manifest(connection: Connection, repository: Repository, target: Tag | Digest) -> NotFound:
    if rows.find_repository(connection, repository) is None:
        return RepositoryUnknown(f"the registry has no repository {repository}", name=repository)
    message = f"{repository} has no {'tag' if isinstance(target, Tag) else 'manifest'} {target}"
    if isinstance(target, Digest):
        why = connection.execute(_WHY_ABSENT, {"repository": repository.name, "target": str(target)}).first()
        if why is not None:
            message += f": {AbsentContent(target, target, AbsenceReason(why.reason), why.detail).sentence}"
        message = _damage(connection, repository, target, manifests) or message
    return ManifestUnknown(message, name=repository, reference=target)
