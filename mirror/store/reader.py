"""Reading from the store: from memory if nothing has changed, else from the catalog and the disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Connection, bindparam, select

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NotFound, RepositoryUnknown
from mirror.oci.media_types import OCTET_STREAM
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.registry.port import Blob
from mirror.store.catalog import rows
from mirror.store.catalog.damage_rows import is_whole
from mirror.store.catalog.manifest_loader import StoredManifest
from mirror.store.catalog.tables.collection_tables import damaged_content
from mirror.store.catalog.tables.content_tables import (
    absent_content,
    blobs,
    manifests,
    repositories,
    repository_blobs,
    tags,
)
from mirror.store.store_services import StoreServices
from mirror.wire.ranges import RangeRequest

_BY_DIGEST = (
    select(manifests.c.digest, manifests.c.media_type, blobs.c.size_bytes)
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .join(blobs, blobs.c.digest == manifests.c.digest)
    .where(repositories.c.name == bindparam("repository"), manifests.c.digest == bindparam("target"))
)
_BY_TAG = (
    select(manifests.c.digest, manifests.c.media_type, blobs.c.size_bytes)
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .join(blobs, blobs.c.digest == manifests.c.digest)
    .join(tags, (tags.c.repository_id == manifests.c.repository_id) & (tags.c.digest == manifests.c.digest))
    .where(repositories.c.name == bindparam("repository"), tags.c.name == bindparam("target"))
)
_BLOB_SIZE = (
    select(blobs.c.size_bytes)
    .join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
    .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
    .where(
        repositories.c.name == bindparam("repository"),
        blobs.c.digest == bindparam("digest"),
        is_whole(blobs.c.digest),
    )
)
_WHY_DAMAGED = (
    select(damaged_content.c.problem)
    .join(repository_blobs, repository_blobs.c.digest == damaged_content.c.digest)
    .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
    .where(repositories.c.name == bindparam("repository"), damaged_content.c.digest == bindparam("digest"))
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

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return (await self.get_manifest(repository, target)).descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        manifest = self._cache.manifest(repository, target)
        return manifest if manifest is not None else await self._read_manifest(repository, target)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return Descriptor(OCTET_STREAM, digest, await self._blob_size(repository, digest))

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        async with self._blobs.open(digest, await self._blob_size(repository, digest), part) as blob:
            yield blob

    async def _read_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        # Taken before the read: after a change in between, the kept result is not valid.
        generation = self._cache.generation

        def read(connection: Connection) -> StoredManifest | Manifest:
            statement = _BY_TAG if isinstance(target, Tag) else _BY_DIGEST
            wanted = {"repository": repository.name, "target": str(target)}
            row = connection.execute(statement, wanted).one_or_none()
            if row is None:
                raise _no_manifest(connection, repository, target)
            return self._manifests.load_small(StoredManifest.of(row))

        manifest = await self._manifests.load(repository, await self._catalog.read(read))
        # A client looks up a tag first and asks for its digest next, so both are kept.
        for known in {target, manifest.digest}:
            self._cache.keep_manifest(generation, repository, known, manifest)
        return manifest

    async def _blob_size(self, repository: Repository, digest: Digest) -> int:
        known = self._cache.blob_size(repository, digest)
        if known is not None:
            return known
        generation = self._cache.generation
        wanted = {"repository": repository.name, "digest": str(digest)}

        def read(connection: Connection) -> int:
            found: int | None = connection.execute(_BLOB_SIZE, wanted).scalar_one_or_none()
            if found is None:
                raise _no_blob(connection, repository, digest)
            return found

        size_bytes = await self._catalog.read(read)
        self._cache.keep_blob_size(generation, repository, digest, size_bytes)
        return size_bytes


def _no_blob(connection: Connection, repository: Repository, digest: Digest) -> BlobUnknown:
    message = f"{repository} has no blob {digest}"
    wanted = {"repository": repository.name, "digest": str(digest)}
    problem = connection.execute(_WHY_DAMAGED, wanted).scalar_one_or_none()
    if problem is not None:
        message = f"{digest} is damaged here ({problem}); fix: push it again, or see 'plugin-mirror scrub'"
    return BlobUnknown(message, name=repository, digest=digest)


def _no_manifest(connection: Connection, repository: Repository, target: Tag | Digest) -> NotFound:
    if rows.find_repository(connection, repository) is None:
        return RepositoryUnknown(f"the registry has no repository {repository}", name=repository)
    message = f"{repository} has no manifest {target}"
    if isinstance(target, Digest):
        why = connection.execute(_WHY_ABSENT, {"repository": repository.name, "target": str(target)}).first()
        if why is not None:
            message += f": {AbsentContent(target, target, AbsenceReason(why.reason), why.detail).sentence}"
    return ManifestUnknown(message, name=repository, reference=target)
