"""Protocols of a store for downloads: one writer among all processes, and readers beside it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Sequence
from typing import IO, Protocol

from mirror.oci import Descriptor, Digest, Repository


class PartialBlob(Protocol):
    """The received bytes of a blob. They stay readable after the blob was stored or dropped.

    Attributes:
        file: file with the bytes. Its position has no meaning.
        size_bytes: number of bytes received.
    """

    @property
    def file(self) -> IO[bytes]: ...
    @property
    def size_bytes(self) -> int: ...

    async def read(self, start: int, stop: int) -> bytes:
        """Read received bytes. Raises StorageFault if the disk fails."""
        ...

    async def is_current(self) -> bool:
        """Return True if the bytes still belong to the download or to the stored blob, False if they were dropped."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class DownloadLease(Protocol):
    """Lease of a blob: the right to write the blob.

    A lease ends with :meth:`release`, or with the process holding it.

    Attributes:
        offset: bytes held, including bytes received by earlier holders.
    """

    @property
    def offset(self) -> int: ...

    def partial(self) -> PartialBlob:
        """Open the held bytes for reading, including bytes appended later.

        The caller closes them. Raises StorageFault if the disk fails.
        """
        ...

    async def expect(self, size_bytes: int) -> None:
        """Keep space for a blob of this size until :meth:`release`. Raises StorageFull if the blob does not fit."""
        ...

    async def append(self, chunks: AsyncIterable[bytes], on_progress: Callable[[], object]) -> None:
        """Append bytes and call ``on_progress`` soon after writing them. Bytes received before an error are kept."""
        ...

    async def verify(self) -> None:
        """Compare the digest of the bytes. Raises DigestInvalid if they have another digest."""
        ...

    async def commit(self) -> Descriptor:
        """Make the verified bytes a blob of the repository, durably, and end the download."""
        ...

    async def drop(self) -> None:
        """End the download and drop the received bytes."""
        ...

    async def release(self) -> None:
        """End the lease. Received bytes are kept for the next holder, unless the disk is full.

        A download without bytes is removed.
        """
        ...


class PartialStore(Protocol):
    """Store that gives the lease of a blob to one process at a time."""

    async def claim_download(self, repository: Repository, digest: Digest) -> DownloadLease | None:
        """Take the lease of a blob for a repository. Returns None if another holder has the lease."""
        ...

    async def require_room(self, blobs: Sequence[Descriptor]) -> None:
        """Check that the bytes which are missing of these blobs fit on the disk. Raises StorageFull."""
        ...

    async def watch_download(self, digest: Digest) -> PartialBlob | None:
        """Open the received bytes of a blob. Returns None if no download has begun."""
        ...
