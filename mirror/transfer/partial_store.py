"""Protocols of the store for downloads: one writer over all processes, and readers beside it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import IO, Protocol

from mirror.oci import Descriptor, Digest, Repository


class PartialBlob(Protocol):
    """The bytes of a blob that have come. They stay readable when the blob has been stored, or dropped.

    Attributes:
        file: holds those bytes; its position means nothing.
        size_bytes: how many have come.
    """

    @property
    def file(self) -> IO[bytes]: ...
    @property
    def size_bytes(self) -> int: ...

    async def read(self, start: int, stop: int) -> bytes:
        """Read bytes that have come. Raises StorageFault."""
        ...

    async def is_current(self) -> bool:
        """Tell whether the bytes were not dropped: they are the download's still, or the stored blob's."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class DownloadLease(Protocol):
    """The lease of a blob: the right to write it. It ends with :meth:`release`, or with the process that holds it.

    Attributes:
        offset: bytes held, those of earlier holders included.
    """

    @property
    def offset(self) -> int: ...

    def partial(self) -> PartialBlob:
        """Open the bytes held for reading, also those that will come. The caller closes them. Raises StorageFault."""
        ...

    async def append(self, chunks: AsyncIterable[bytes], on_progress: Callable[[], object]) -> None:
        """Add bytes to the end, and call ``on_progress`` soon after. What came before an error is kept."""
        ...

    async def verify(self) -> None:
        """Compare the digest. Raises DigestInvalid: the bytes have another one."""
        ...

    async def commit(self) -> Descriptor:
        """Make the verified bytes a blob of the repository, durably, and end the download."""
        ...

    async def drop(self) -> None:
        """End the download, and drop what has come."""
        ...

    async def release(self) -> None:
        """End the lease. What has come is kept for the next holder; an empty download is removed."""
        ...


class PartialStore(Protocol):
    """A store that gives leases of blobs to one process at a time."""

    async def claim_download(self, repository: Repository, digest: Digest) -> DownloadLease | None:
        """Take the lease of a blob that goes to a repository; None where another holder has it."""
        ...

    async def watch_download(self, digest: Digest) -> PartialBlob | None:
        """Open what has come of a blob; None where no download has begun."""
        ...
