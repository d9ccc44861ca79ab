"""Requests for blobs to download, the sources of blobs, and the observer of downloads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from mirror.oci import Descriptor, Digest, Repository
from mirror.oci.errors import MirrorError
from mirror.registry.port import Blob
from mirror.wire.ranges import RangeRequest


class BlobReader(Protocol):
    """The part of :class:`mirror.registry.port.Reader` that a download needs."""

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        """Open a blob as the port defines."""
        ...


class LocalBlobs(BlobReader, Protocol):
    """The part of :class:`mirror.registry.port.ReadWriter` that a download needs of the store."""

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        """Mount a blob as the port defines."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Source of a blob.

    Attributes:
        upstream: name of the upstream.
        registry: reader of the upstream.
        repository: repository at the upstream.
    """

    upstream: str
    registry: BlobReader
    repository: Repository


@dataclass(frozen=True, slots=True)
class BlobRequest:
    """Request for a blob.

    Attributes:
        repository: local repository the blob goes to.
        digest: digest of the blob according to its manifest.
        size_bytes: size of the blob according to its manifest.
        sources: sources that may have the blob, in the order in which they are asked.
    """

    repository: Repository
    digest: Digest
    size_bytes: int
    sources: tuple[Source, ...]


class DownloadObserver(Protocol):
    """Receiver of received bytes and failures of downloads."""

    def received(self, upstream: str, repository: Repository, size_bytes: int) -> None:
        """Record bytes of a blob received from an upstream for a local repository."""
        ...

    def failed(self, upstream: str, error: MirrorError) -> None:
        """Record a failure of an upstream to deliver a blob. The upstream may be asked again."""
        ...


#: Called when a repository holds a blob, with the repository and the digest of the blob.
Stored = Callable[[Repository, Digest], Awaitable[None]]
#: Frees space on the disk for a number of bytes. Returns False if that is not possible.
MakeRoom = Callable[[int], Awaitable[bool]]


async def no_room(_size_bytes: int) -> bool:
    """Free nothing: without pull-through there is no content that would come back."""
    return False
