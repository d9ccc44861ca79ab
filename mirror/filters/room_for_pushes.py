"""Room for pushes: what was pulled through, and that nobody has pulled for long, gives way on a full disk."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from mirror.oci import Descriptor, Digest, Repository
from mirror.oci.errors import StorageFault, StorageFull
from mirror.registry.delegate import DelegatingUpload
from mirror.registry.port import Registry
from mirror.registry.streams import closing_stream
from mirror.registry.upload import Upload, UploadBody
from mirror.wire.ranges import Span

#: Received bytes after which the disk is looked at. Fewer always fit in the margin that is kept free.
_LOOK_EVERY_BYTES: Final = 8 * 1024 * 1024


class RoomMaker(Protocol):
    """Makes room on the disk."""

    async def relieve(self) -> None:
        """Evict on a disk that is nearly full. Cheap on all others."""
        ...

    async def make_room(self, size_bytes: int) -> bool:
        """Evict until content of a size fits on the disk. Cheap if it fits. Return True if it fits now."""
        ...


class RoomForPushes:
    """Implements :class:`mirror.registry.port.Registry`.

    Args:
        inner: the wrapped registry.
        maker: makes room.
    """

    def __init__(self, inner: Registry, maker: RoomMaker) -> None:
        self.inner = inner
        self._maker = maker
        # Methods are bound, not forwarded: a forwarding coroutine would add its cost to each pull.
        self.resolve, self.get_manifest = inner.resolve, inner.get_manifest
        self.stat_blob, self.open_blob = inner.stat_blob, inner.open_blob
        self.stat_pullable_blob = inner.stat_pullable_blob
        self.mount_blob, self.put_manifest = inner.mount_blob, inner.put_manifest
        self.delete_tag, self.delete_manifest = inner.delete_tag, inner.delete_manifest
        self.delete_blob = inner.delete_blob
        self.list_repositories, self.list_tags = inner.list_repositories, inner.list_tags
        self.list_referrers = inner.list_referrers

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        """Begin an upload as the port defines."""
        try:
            upload = await self.inner.begin_upload(repository, client, algorithm)
        except StorageFull:
            with suppress(StorageFault):
                await self._maker.relieve()
            upload = await self.inner.begin_upload(repository, client, algorithm)
        return UploadWithRoom(upload, self._maker)

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        """Resume an upload as the port defines."""
        return UploadWithRoom(await self.inner.resume_upload(repository, upload_id), self._maker)


class UploadWithRoom(DelegatingUpload):
    """An upload for which room is made."""

    def __init__(self, inner: Upload, maker: RoomMaker) -> None:
        super().__init__(inner)
        self._maker = maker

    async def append(
        self, chunks: AsyncIterable[bytes], span: Span | None = None, size_bytes: int | None = None
    ) -> None:
        """Append bytes as the port defines."""
        async with closing_stream(chunks):
            await self.inner.append(await self._with_room(chunks, size_bytes), span, size_bytes)

    async def commit(self, digest: Digest, last: UploadBody | None = None) -> Descriptor:
        """Commit as the port defines."""
        if last is None:
            return await self.inner.commit(digest)
        async with closing_stream(last.chunks):
            chunks = await self._with_room(last.chunks, last.size_bytes)
            return await self.inner.commit(digest, replace(last, chunks=chunks))

    async def _with_room(self, chunks: AsyncIterable[bytes], size_bytes: int | None) -> AsyncIterable[bytes]:
        if size_bytes is None:
            return self._watched(chunks)
        if size_bytes > _LOOK_EVERY_BYTES:
            # Whether it fits is decided, and told, by the upload.
            with suppress(StorageFault):
                await self._maker.make_room(size_bytes)
        return chunks

    async def _watched(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        unseen_bytes = 0
        async with closing_stream(chunks):
            async for chunk in chunks:
                unseen_bytes += len(chunk)
                if unseen_bytes > _LOOK_EVERY_BYTES:
                    unseen_bytes = 0
                    with suppress(StorageFault):
                        await self._maker.relieve()
                yield chunk
