"""What a download needs of the place it goes to: one writer over all processes, readers beside it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import IO, Protocol

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.names import Repository


class PartialBlob(Protocol):
    """The bytes of a blob as far as they have come. They stay readable when the blob has been stored, or dropped.

    Attributes:
        file: those bytes; its position means nothing.
        size_bytes: how many there are just now.
    """

    @property
    def file(self) -> IO[bytes]: ...
    @property
    def size_bytes(self) -> int: ...

    async def read(self, start: int, stop: int) -> bytes:
        """Bytes that are there. Raises StorageFault."""
        ...

    async def is_current(self) -> bool:
        """Whether they are those of the download still, or of the blob that it has become: they were not dropped."""
        ...

    def close(self) -> None:
        """Let go of them."""
        ...


class Claim(Protocol):
    """The right to write a blob. It ends with the process that has it, or with :meth:`release`.

    Attributes:
        offset: bytes held, also those that an earlier holder has left.
    """

    @property
    def offset(self) -> int: ...

    def partial(self) -> PartialBlob:
        """What is held, and will be, to be read meanwhile. Whoever asks closes it. Raises StorageFault."""
        ...

    async def append(self, chunks: AsyncIterable[bytes], grown: Callable[[], object]) -> None:
        """Add bytes to the end, each soon after it came, and tell ``grown``. What came before an error is kept."""
        ...

    async def verify(self) -> None:
        """Raises DigestInvalid: what has come has another digest."""
        ...

    async def commit(self) -> Descriptor:
        """Make what was verified a blob of the repository, durably, and end the download."""
        ...

    async def drop(self) -> None:
        """End the download, and forget what has come."""
        ...

    async def release(self) -> None:
        """Let go of it; what has come is kept, and nothing is where nothing has."""
        ...


class Spool(Protocol):
    """Where downloads lie, shared by all processes."""

    async def claim_download(self, repository: Repository, digest: Digest) -> Claim | None:
        """Become the only writer of a blob that goes to a repository; None where somebody else is."""
        ...

    async def watch_download(self, digest: Digest) -> PartialBlob | None:
        """What has come of a blob that somebody writes; None where nobody has begun."""
        ...
