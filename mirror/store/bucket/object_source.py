"""Content in the bucket as a source of downloads, like the content of an upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from mirror.oci import Digest, Repository
from mirror.oci.errors import MirrorError, StorageDamaged, UpstreamProtocolError, UpstreamUnreachable
from mirror.oci.remote_storage_errors import BucketUnreachable
from mirror.registry.port import Blob
from mirror.store.bucket.stored_objects import StoredObjects
from mirror.wire.ranges import RangeRequest, Span


class ObjectBlob:
    """Content of an object that is being read. The receiver verifies it.

    Implements :class:`mirror.registry.port.Blob` and :class:`mirror.registry.port.Unverified`.
    """

    file: IO[bytes] | None = None

    def __init__(self, size_bytes: int, span: Span, pieces: AsyncIterator[bytes]) -> None:
        self.size_bytes = size_bytes
        self.span = span
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._pieces:
                yield piece
        except BucketUnreachable as error:
            raise _of_upstream(error) from error

    def unverified(self) -> AsyncIterator[bytes]:
        """Iterate over the span."""
        return aiter(self)

    async def wrong_content(self) -> MirrorError:
        """Return the error for content that the receiver found wrong."""
        return UpstreamProtocolError("the object in the bucket has another digest")


class ObjectSource:
    """Reads content from its object in the bucket. The receiver may go on at any byte after a lost connection.

    Args:
        objects: the objects of the store.
    """

    def __init__(self, objects: StoredObjects) -> None:
        self._objects = objects

    def suspect(self, digest: Digest) -> None:
        """Have the object of content examined, because its receiver found it damaged."""
        self._objects.suspect(digest)

    @asynccontextmanager
    async def open_blob(
        self, _repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        """Open content, or a part of it.

        Raises:
            StorageDamaged: the bucket has no object with this content.
            UpstreamUnreachable: the bucket is not reachable at the moment. Also raised while iterating.
            BucketFault: the bucket refuses the request. Also raised while iterating.
        """
        found = await self._objects.find(digest)
        if found is None:
            raise StorageDamaged(f"no object in the bucket holds {digest}", digest=digest)
        span = Span(0, found.size_bytes) if part is None else part.resolve(found.size_bytes)
        try:
            held_bytes, pieces = await self._objects.bucket.read(found.key, span.start)
        except BucketUnreachable as error:
            raise _of_upstream(error) from error
        yield ObjectBlob(held_bytes, span, pieces)


def _of_upstream(error: BucketUnreachable) -> UpstreamUnreachable:
    return UpstreamUnreachable(error.message, **error.detail)
