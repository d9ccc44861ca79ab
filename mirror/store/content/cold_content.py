"""Cold content: in the bucket, and not in the data folder, which is then a cache of the bucket."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mirror.oci import Digest, Repository
from mirror.registry.port import Blob
from mirror.wire.ranges import RangeRequest


class ColdContent(Protocol):
    """Brings cold content into the data folder."""

    def open(
        self, repository: Repository, digest: Digest, size_bytes: int, part: RangeRequest | None
    ) -> AbstractAsyncContextManager[Blob]:
        """Open cold content, or a part of it. It comes into the data folder meanwhile.

        Args:
            repository: the repository that holds the content.
            digest: the content.
            size_bytes: its size.
            part: the part; None for all.

        Raises:
            StorageDamaged: the bucket does not have these bytes.
            BucketUnreachable, BucketFault: the bucket failed.
            StorageFull, StorageFault: the disk failed.
        """
        ...

    async def fetch(self, repository: Repository, digest: Digest, size_bytes: int) -> None:
        """Bring cold content into the data folder, and return when it is there. Arguments and errors as for open."""
        ...


class ColdReads:
    """The way in which a store reads cold content. A server has another one than a command.

    Attributes:
        content: brings cold content; None if the data folder is no cache.
    """

    def __init__(self) -> None:
        self.content: ColdContent | None = None
