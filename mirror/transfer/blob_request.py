"""Requests for blobs that are to be downloaded, their sources, and who is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from mirror.oci import Digest, Repository
from mirror.oci.errors import MirrorError
from mirror.registry.port import Reader


@dataclass(frozen=True, slots=True)
class Source:
    """A source of a blob.

    Attributes:
        upstream: the upstream's name.
        registry: reads the upstream.
        repository: the repository at the upstream.
    """

    upstream: str
    registry: Reader
    repository: Repository


@dataclass(frozen=True, slots=True)
class BlobRequest:
    """A request for a blob.

    Attributes:
        repository: where it goes.
        digest, size_bytes: as its manifest gives them.
        sources: those that may have it, in the order in which they are asked.
    """

    repository: Repository
    digest: Digest
    size_bytes: int
    sources: tuple[Source, ...]


class DownloadObserver(Protocol):
    """Told of bytes and failures of downloads."""

    def received(self, upstream: str, size_bytes: int) -> None:
        """Note bytes of a blob that came from an upstream."""
        ...

    def failed(self, upstream: str, error: MirrorError) -> None:
        """Note that an upstream did not give a blob; it may be asked again."""
        ...


#: Called when a repository has a blob.
Stored = Callable[[Repository, Digest], Awaitable[None]]
