"""Docker Hub's short names: ``busybox`` is the repository ``library/busybox``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.registry.port import Blob, Page
from mirror.registry.upload import Upload
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest


class ShortNameRegistry(UpstreamRegistry):
    """A registry on another server that keeps its repositories with one component under ``library/``.

    Requests and the scopes of their tokens have the long name, because the registry knows no other.
    """

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return await super().resolve(long_name(repository), target)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        return await super().get_manifest(long_name(repository), target)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return await super().stat_blob(long_name(repository), digest)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        async with super().open_blob(long_name(repository), digest, part, size_bytes) as blob:
            yield blob

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        return await super().begin_upload(long_name(repository), client, algorithm)

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        return await super().resume_upload(long_name(repository), upload_id)

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        return await super().mount_blob(long_name(repository), digest, None if source is None else long_name(source))

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        return await super().put_manifest(long_name(repository), manifest, tags)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        await super().delete_tag(long_name(repository), tag)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await super().delete_manifest(long_name(repository), digest)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        await super().delete_blob(long_name(repository), digest)

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        return await super().list_tags(long_name(repository), page)

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        return await super().list_referrers(long_name(repository), subject, artifact_type, page)


def long_name(repository: Repository) -> Repository:
    """Return the name under which Docker Hub keeps a repository."""
    return repository if "/" in repository.name else Repository.parse(f"library/{repository}")
