"""A blob that somebody asks for: where it goes, where it may be had, how long that is tried, and who is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from mirror.oci.digest import Digest
from mirror.oci.errors import MirrorError
from mirror.oci.names import Repository
from mirror.registry.port import Reader


@dataclass(frozen=True, slots=True)
class Source:
    """Where a blob may be had.

    Attributes:
        upstream: the upstream's name.
        registry: the upstream.
        repository: the repository there.
    """

    upstream: str
    registry: Reader
    repository: Repository


@dataclass(frozen=True, slots=True)
class Wanted:
    """A blob that somebody asks for.

    Attributes:
        repository: where it goes.
        digest, size_bytes: as its manifest gives them.
        sources: where it may be had, in the order in which they are asked.
    """

    repository: Repository
    digest: Digest
    size_bytes: int
    sources: tuple[Source, ...]


class Witness(Protocol):
    """Told what becomes of downloads."""

    def received(self, upstream: str, size_bytes: int) -> None:
        """So many bytes of a blob came from an upstream."""
        ...

    def failed(self, upstream: str, error: MirrorError) -> None:
        """An upstream did not give what it was asked for; it may be tried again."""
        ...


#: Called when a blob is in a repository.
Stored = Callable[[Repository, Digest], Awaitable[None]]
