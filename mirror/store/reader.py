"""Reading from the store: out of memory where nothing has changed, else from catalog and disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import bindparam, select

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, ManifestUnknown, NotFound, RepositoryUnknown
from mirror.oci.manifest import Manifest
from mirror.oci.media_types import OCTET_STREAM
from mirror.oci.names import Repository, Tag
from mirror.registry.port import Blob
from mirror.store.bodies import load_manifest
from mirror.store.catalog import rows
from mirror.store.catalog.tables import blobs, manifests, repositories, repository_blobs, tags
from mirror.store.parts import StoreParts
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
    .where(repositories.c.name == bindparam("repository"), blobs.c.digest == bindparam("digest"))
)


class StoreReader(StoreParts):
    """Implements :class:`mirror.registry.port.Reader`."""

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return (await self.get_manifest(repository, target)).descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        manifest = self._cache.manifest(repository, target)
        return manifest if manifest is not None else await self._read_manifest(repository, target)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return Descriptor(OCTET_STREAM, digest, await self._blob_size(repository, digest))

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None
    ) -> AsyncIterator[Blob]:
        size_bytes = await self._blob_size(repository, digest)
        async with self._blobs.open(digest, size_bytes, part) as blob:
            yield blob

    async def _read_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        generation = self._cache.generation
        statement = _BY_TAG if isinstance(target, Tag) else _BY_DIGEST
        async with self._catalog.read() as connection:
            wanted = {"repository": repository.name, "target": str(target)}
            row = (await connection.execute(statement, wanted)).one_or_none()
        if row is None:
            raise await self._no_manifest(repository, target)
        digest = Digest.parse(row.digest)
        manifest = self._cache.body(digest, row.media_type)
        if manifest is None:
            manifest = await load_manifest(self._blobs, digest, row.media_type, row.size_bytes)
        self._cache.keep_manifest(generation, repository, target, manifest)
        return manifest

    async def _no_manifest(self, repository: Repository, target: Tag | Digest) -> NotFound:
        async with self._catalog.read() as connection:
            known = await rows.find_repository(connection, repository) is not None
        if known:
            return ManifestUnknown(f"{repository} has no manifest {target}", name=repository, reference=target)
        return RepositoryUnknown(f"no repository {repository} is here", name=repository)

    async def _blob_size(self, repository: Repository, digest: Digest) -> int:
        known = self._cache.blob_size(repository, digest)
        if known is not None:
            return known
        generation = self._cache.generation
        async with self._catalog.read() as connection:
            wanted = {"repository": repository.name, "digest": str(digest)}
            size_bytes: int | None = (await connection.execute(_BLOB_SIZE, wanted)).scalar_one_or_none()
        if size_bytes is None:
            raise BlobUnknown(f"{repository} has no blob {digest}", name=repository, digest=digest)
        self._cache.keep_blob_size(generation, repository, digest, size_bytes)
        return size_bytes
