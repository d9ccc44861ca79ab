"""Counts of pulls, as a process collects them between two writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mirror.oci import Digest, Repository, Tag


@dataclass(slots=True)
class PullCount:
    """Pulls of a tag or digest.

    Attributes:
        last_at: time of the last pull, in UTC.
        number: number of pulls.
    """

    last_at: datetime
    number: int = 1

    def __add__(self, other: PullCount) -> PullCount:
        return PullCount(max(self.last_at, other.last_at), self.number + other.number)


#: Pulls by repository, and tag or digest.
PullCounts = Mapping[tuple[Repository, Tag | Digest], PullCount]
