"""Content that was pulled through: its size, and the tags that are evicted as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mirror.oci import Repository


@dataclass(frozen=True, slots=True)
class PulledArtifact:
    """Content that was pulled through under one or more tags, or under its digest alone. It is evicted as a whole.

    Attributes:
        repository: name of the local repository.
        tags: names of the tags; empty for content that was pulled by its digest.
        digests: digests of the manifests that the tags point to, or the digest of the pull.
        used_at: time of the last pull, in UTC; the time that the content came, if nobody has pulled it since.
        contents: numbers of the blobs and manifests that the artifact needs, see :class:`PulledContent`.
        is_confirmed: False if the upstream did not confirm the content when it was last asked. It may be gone there.
        is_held: True if work under way, such as a backup or a download, needs some of the content.
    """

    repository: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    used_at: datetime
    contents: tuple[int, ...]
    is_confirmed: bool = True
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class PulledContent:
    """The content that pull-through has brought and that nothing else needs.

    Attributes:
        artifacts: the artifacts that may be evicted.
        sizes: size in bytes of each blob and manifest by its number. It is 0 for content that a push, a mirror rule, or
            a protected artifact needs too, because evicting artifacts does not free it.
    """

    artifacts: Sequence[PulledArtifact] = ()
    sizes: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class BudgetRecord:
    """Figures of the budget of pull-through, for all processes.

    Attributes:
        counted_at: time at which the content was last counted, in UTC; None if it never was.
        used_bytes: size of the content that only pull-through needs.
        tags: number of tags that were pulled through and may be evicted.
        evicted_tags: number of tags evicted so far.
        evicted_bytes: size of the content that was evicted with them.
        emergencies: number of evictions because the disk was full.
        last_emergency_at: time of the last of them; None if there was none.
    """

    counted_at: datetime | None = None
    used_bytes: int = 0
    tags: int = 0
    evicted_tags: int = 0
    evicted_bytes: int = 0
    emergencies: int = 0
    last_emergency_at: datetime | None = None


#: Returns the names of the upstreams from which a repository can be pulled again.
Refetchable = Callable[[Repository], Collection[str]]


class PulledContents(Protocol):
    """Port to the content that was pulled through. All methods raise CatalogFault."""

    async def count(self, refetchable: Refetchable, downloading: Collection[str] = ()) -> PulledContent:
        """Read what pull-through has brought. Reads much of the catalog, in short steps.

        Args:
            refetchable: returns the upstreams of a repository. Content of other upstreams is not counted, because it
                would not come back.
            downloading: digests of blobs that are being downloaded.
        """
        ...

    async def added_bytes(self, since: datetime) -> int:
        """Return the size of all content, however it came, that was stored since a time."""
        ...

    async def evict(self, artifacts: Sequence[PulledArtifact]) -> Sequence[PulledArtifact]:
        """Remove the tags of artifacts, in one transaction, and leave their content to the collection.

        Returns:
            The artifacts evicted. Others were pushed, pinned, moved or pulled since they were read, and stay.
        """
        ...

    async def record(self) -> BudgetRecord:
        """Return the recorded figures."""
        ...

    async def save(self, record: BudgetRecord) -> None:
        """Replace the recorded figures. Raises StorageFull too."""
        ...
