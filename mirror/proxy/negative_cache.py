"""Memory of what no upstream has, within a bound."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cachetools import LRUCache

from mirror.oci import Digest, Repository, Tag

_MOST_REMEMBERED: Final = 10_000


class NegativeCache:
    """Remembers the latest misses of this process."""

    def __init__(self) -> None:
        self._at: LRUCache[tuple[Repository, Tag | Digest], datetime] = LRUCache(_MOST_REMEMBERED)

    def missed_at(self, repository: Repository, target: Tag | Digest) -> datetime | None:
        """When no upstream had something last; None where that is not known."""
        return self._at.get((repository, target))

    def remember(self, repository: Repository, target: Tag | Digest, now: datetime) -> None:
        """Note that no upstream has something now."""
        self._at[repository, target] = now
