"""Numbers about the content of a store: sizes, sharing, pulls, and traffic by upstream and rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class ContentNumbers:
    """Size of the content of a store.

    Attributes:
        repositories: number of repositories.
        tags: number of tags.
        manifests: number of manifests. A manifest counts once in each repository that holds it.
        files: number of blobs and manifests whose bytes are stored, each once.
        size_bytes: total size of these files.
        shared_bytes: size of the files that several manifests use, each file once.
        saved_bytes: size that these files would take beyond that if each manifest had copies of its own.
        unused_bytes: size of the files that no manifest uses. They wait for a manifest, or for the collection.
    """

    repositories: int
    tags: int
    manifests: int
    files: int
    size_bytes: int
    shared_bytes: int
    saved_bytes: int
    unused_bytes: int


@dataclass(frozen=True, slots=True)
class RepositorySize:
    """Size of a repository.

    Attributes:
        name: name of the repository.
        tags: number of its tags.
        files: number of blobs and manifests that it holds.
        size_bytes: total size of these files.
        own_bytes: size of the files that no other repository holds.
    """

    name: str
    tags: int
    files: int
    size_bytes: int
    own_bytes: int


@dataclass(frozen=True, slots=True)
class TargetPulls:
    """Pulls of a tag or digest.

    Attributes:
        repository: name of the repository.
        target: the tag or digest.
        pulls: number of pulls.
        pulled_at: time of the last pull.
    """

    repository: str
    target: str
    pulls: int
    pulled_at: datetime


class TrafficSource(NamedTuple):
    """Configured source of a repository. Both texts are empty if the configuration has no source for it.

    Attributes:
        upstream: name of the upstream.
        rule: name of the mirror rule, or ``to`` of the proxy rule.
    """

    upstream: str
    rule: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """Content that clients received and upstreams sent.

    Attributes:
        pulls: number of manifests that clients received.
        served_bytes: bytes of manifests and blobs that clients received.
        fetched_bytes: bytes of blobs that the upstream sent.
    """

    pulls: int = 0
    served_bytes: int = 0
    fetched_bytes: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.pulls + other.pulls,
            self.served_bytes + other.served_bytes,
            self.fetched_bytes + other.fetched_bytes,
        )

    @property
    def saved_bytes(self) -> int:
        """Bytes that clients would have received from the upstream, and did not."""
        return max(0, self.served_bytes - self.fetched_bytes)


class TrafficRecords(Protocol):
    """Port to the records of traffic. All methods raise CatalogFault."""

    async def add(self, amounts: Mapping[TrafficSource, Traffic]) -> None:
        """Add amounts to those recorded so far. Raises StorageFull too."""
        ...

    async def all(self) -> Mapping[TrafficSource, Traffic]:
        """Return all amounts."""
        ...


class StorageNumbers(Protocol):
    """Port to the numbers of a store. All methods read whole indexes, and raise CatalogFault."""

    async def content(self) -> ContentNumbers:
        """Count the content of the store."""
        ...

    async def largest(self, most: int) -> Sequence[RepositorySize]:
        """Return the largest repositories, the largest first."""
        ...

    async def most_pulled(self, most: int) -> Sequence[TargetPulls]:
        """Return the tags and digests with the most pulls."""
        ...
