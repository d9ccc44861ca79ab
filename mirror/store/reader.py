"""Reading from the store: from memory if nothing has changed, else from the catalog and the disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import ColumnElement, Connection, and_, bindparam, select

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NotFound, RepositoryUnknown
from mirror.oci.media_types import OCTET_STREAM
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.registry.port import Blob
from mirror.store.catalog import rows
from mirror.store.catalog.catalog_cache import Held
from mirror.store.catalog.manifest_loader import StoredManifest
from mirror.store.catalog.tables.collection_tables import reviews
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
    .where(repositories.c.name == bindparam("repository"), manifests.c.digest == bindparam("target"))
)
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
    .where(repositories.c.name == bindparam("repository"), blobs.c.digest == bindparam("digest"))
)

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
        async with self._blobs.open(digest, (await self._blob(repository, digest)).found, part) as blob:
            yield blob

    async def _read_manifest(self, repository: Repository, target: Tag | Digest) -> Held[Manifest]:
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
        row = await self._catalog.read(lambda connection: connection.execute(_BLOB, wanted).one_or_none())
        if row is None:
            raise BlobUnknown(f"{repository} has no blob {digest}", name=repository, digest=digest)
        held: Held[int] = Held(row.size_bytes, row.counts_from)
        self._cache.keep_blob(generation, repository, digest, held)
        return held


def _no_manifest(connection: Connection, repository: Repository, target: Tag | Digest) -> NotFound:
    if rows.find_repository(connection, repository) is None:
        return RepositoryUnknown(f"the registry has no repository {repository}", name=repository)
    message = f"{repository} has no manifest {target}"
    if isinstance(target, Digest):
        why = connection.execute(_WHY_ABSENT, {"repository": repository.name, "target": str(target)}).first()
        if why is not None:
            message += f": {AbsentContent(target, target, AbsenceReason(why.reason), why.detail).sentence}"
    return ManifestUnknown(message, name=repository, reference=target)
