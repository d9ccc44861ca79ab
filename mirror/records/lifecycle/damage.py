"""Records of damage: the examination of stored bytes, content that is damaged, and what it breaks.

Damaged content is never served. Its bytes are set aside, and it counts as not held: a client that pushes it is asked
for its bytes, and pull-through fetches it again. Whatever stores whole bytes of the digest ends the damage.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from mirror.oci import Digest, Repository


@dataclass(frozen=True, slots=True)
class StoredContent:
    """Bytes that the store has, according to its catalog.

    Attributes:
        digest: their digest.
        size_bytes: their size in bytes.
        is_plain: True if they are no manifest, and not known to be damaged.
    """

    digest: Digest
    size_bytes: int
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class DamagedContent:
    """Content whose bytes are damaged or missing.

    Attributes:
        digest: the digest of the content.
        size_bytes: its size in bytes, according to the catalog.
        problem: what is wrong with the bytes.
        found_at: time at which the damage was found.
        is_set_aside: True if damaged bytes were set aside, False if there are none.
        attempts: number of attempts to get whole bytes.
        last_attempt_at: time of the last attempt; None if there was none.
        last_error: why the last attempt failed.
    """

    digest: Digest
    size_bytes: int
    problem: str
    found_at: datetime
    is_set_aside: bool
    attempts: int = 0
    last_attempt_at: datetime | None = None
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class DamageCounts:
    """Numbers of pieces of content.

    Attributes:
        damaged: those that are damaged now.
        healed: those that were healed so far.
    """

    damaged: int
    healed: int


class ExaminationResult(StrEnum):
    """Result of the examination of one piece of content."""

    WHOLE = "whole"
    #: The bytes are whole, but the catalog had a wrong size or wrong rows for them. They are right now.
    CORRECTED = "corrected"
    DAMAGED = "damaged"
    #: No whole bytes have come since the damage was found.
    STILL_DAMAGED = "still damaged"
    #: The content was removed or replaced meanwhile.
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class OriginPlace:
    """A repository at an upstream from which content of a local repository came.

    Attributes:
        upstream: name of the upstream.
        source: repository at the upstream.
    """

    upstream: str
    source: Repository


@dataclass(frozen=True, slots=True)
class ContentUse:
    """Use of a piece of content, and where it came from.

    Attributes:
        repositories: repositories that hold the content, as a blob or a manifest.
        is_manifest: True if a repository holds it as a manifest.
        tags: tags that cannot be installed without it, as ``NAME:TAG``, in the order of the names.
        places: upstream repositories from which the content of these repositories came, the likeliest first.
    """

    repositories: Sequence[Repository]
    is_manifest: bool
    tags: Sequence[str]
    places: Sequence[OriginPlace]


@dataclass(frozen=True, slots=True)
class ScrubState:
    """Progress of a scrub.

    Attributes:
        started_at: start of the current round, or of the last one.
        finished_at: end of the last round, if no later one has begun; else None.
        position: digest up to which all content was read; empty at the start.
        files: files read in the round.
        read_bytes: bytes read in the round.
        damaged: damaged files found in the round.
        corrected: files of the round for which the catalog was corrected.
        total_bytes: bytes read in all rounds.
        total_damaged: files found damaged in all rounds that were not known to be.
        last_finished_at: end of the last complete round; None before the first.
    """

    started_at: datetime
    finished_at: datetime | None = None
    position: str = ""
    files: int = 0
    read_bytes: int = 0
    damaged: int = 0
    corrected: int = 0
    total_bytes: int = 0
    total_damaged: int = 0
    last_finished_at: datetime | None = None


class Damage(Protocol):
    """Port to the bytes of a store and to what is known about damage. All methods raise StorageFault, CatalogFault."""

    async def stored(self, after: str, most: int) -> Sequence[StoredContent]:
        """Return up to ``most`` pieces of content in the order of their digests, from the first one after a digest."""
        ...

    async def left(self, after: str) -> tuple[int, int]:
        """Return the number of files after a digest, and their size in bytes."""
        ...

    async def find_whole(self, contents: Sequence[StoredContent]) -> Collection[Digest]:
        """Read small content together, and return what is whole and right in the catalog.

        Anything else is left as it is, and must be examined.
        """
        ...

    async def examine(self, content: StoredContent, read: Callable[[int], Awaitable[None]]) -> ExaminationResult:
        """Read all bytes of a piece of content, and compare the catalog with them.

        Damaged bytes are set aside, after a second reading has found the same. Known damage ends with whole bytes.

        Args:
            content: the content.
            read: called after each piece of bytes with its size. It may wait, to keep to a rate.
        """
        ...

    async def find_stored(self, digest: Digest) -> StoredContent | None:
        """Return the content with a digest; None if the catalog has none."""
        ...

    def take_suspects(self) -> Sequence[Digest]:
        """Return the digests of which reads of this process have found damage since the last call."""
        ...

    async def damaged(self) -> Sequence[DamagedContent]:
        """Return all damaged content that the store still needs, in the order of the digests.

        Records of content that is gone, and files of content that is whole again, are removed.
        """
        ...

    async def use_of(self, digest: Digest) -> ContentUse:
        """Return what needs a piece of content."""
        ...

    async def restore_manifest(self, digest: Digest, content: bytes) -> None:
        """Store the bytes of a manifest again. Raises DigestInvalid if they are others."""
        ...

    async def note_attempt(self, digest: Digest, error: str) -> None:
        """Record that an attempt to get whole bytes has failed."""
        ...

    async def count_healed(self) -> None:
        """Count a piece of content that was healed."""
        ...

    async def counts(self) -> DamageCounts:
        """Count the damaged content, and the content that was healed so far."""
        ...


class ScrubStates(Protocol):
    """Port that keeps the progress of scrubs. All methods raise CatalogFault."""

    async def scrubs(self) -> Mapping[str, ScrubState]:
        """Return all scrubs by name."""
        ...

    async def keep_scrub(self, name: str, state: ScrubState) -> None:
        """Keep the progress of a scrub."""
        ...
