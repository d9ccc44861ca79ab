"""Bounded memory of content that no upstream has."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cachetools import LRUCache

from mirror.oci import Digest, Repository, Tag

# Clients choose the names, so memory must be bounded: the least recently used entry is dropped first.
_MOST_REMEMBERED: Final = 10_000


class NegativeCache:
    """Times of the latest misses in this process."""

    def __init__(self) -> None:
        self._at: LRUCache[tuple[Repository, Tag | Digest], datetime] = LRUCache(_MOST_REMEMBERED)

    def missed_at(self, repository: Repository, target: Tag | Digest) -> datetime | None:
        """Return the time at which no upstream had the content; None if no miss is remembered."""
        return self._at.get((repository, target))

    def remember(self, repository: Repository, target: Tag | Digest, now: datetime) -> None:
        """Record that no upstream has the content now."""
        self._at[repository, target] = now
