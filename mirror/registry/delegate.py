"""A registry and an upload that forward every call, used as base classes of filters."""

from __future__ import annotations

from collections.abc import AsyncIterable, Collection
from contextlib import AbstractAsyncContextManager

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.registry.port import Blob, Page, Registry
from mirror.registry.upload import Upload, UploadBody
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest, Span


class DelegatingRegistry:
    """Forwards each call to ``inner``. A subclass overrides the methods it changes.

    Args:
        inner: the registry that receives the calls.
    """

    def __init__(self, inner: Registry) -> None:
        self.inner = inner

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return await self.inner.resolve(repository, target)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        return await self.inner.get_manifest(repository, target)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return await self.inner.stat_blob(repository, digest)

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return await self.inner.stat_pullable_blob(repository, digest)

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        return self.inner.open_blob(repository, digest, part, size_bytes)

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        return await self.inner.begin_upload(repository, client, algorithm)

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        return await self.inner.resume_upload(repository, upload_id)

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        return await self.inner.mount_blob(repository, digest, source)

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        return await self.inner.put_manifest(repository, manifest, tags)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        await self.inner.delete_tag(repository, tag)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await self.inner.delete_manifest(repository, digest)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        await self.inner.delete_blob(repository, digest)

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        return await self.inner.list_repositories(page)

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        return await self.inner.list_tags(repository, page)

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        return await self.inner.list_referrers(repository, subject, artifact_type, page)


class DelegatingUpload:
    """Forwards each call to ``inner``. A subclass overrides the methods it changes.

    Args:
        inner: the upload that receives the calls.
    """

    def __init__(self, inner: Upload) -> None:
        self.inner = inner

    @property
    def id(self) -> str:
        return self.inner.id

    @property
    def offset(self) -> int:
        return self.inner.offset

    async def append(
        self, chunks: AsyncIterable[bytes], span: Span | None = None, size_bytes: int | None = None
    ) -> None:
        await self.inner.append(chunks, span, size_bytes)

    async def commit(self, digest: Digest, last: UploadBody | None = None) -> Descriptor:
        return await self.inner.commit(digest, last)

    async def cancel(self) -> None:
        await self.inner.cancel()
