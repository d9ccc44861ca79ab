"""Counter of the content that clients receive and upstreams send, by upstream and rule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Final

from mirror.oci import Repository
from mirror.records.lifecycle.storage_numbers import Traffic, TrafficSource

#: Names of repositories whose source is remembered. Clients choose the names, so the memory is bounded.
_MOST_REMEMBERED: Final = 4096


class TrafficCounter:
    """Counts traffic in memory. :meth:`flush` records the amounts, so that no request waits for a write.

    A process that dies loses the amounts of the last minute.

    Args:
        source_of: returns the configured source of a repository, with the name of the upstream if it is known.
        record: adds amounts to the durable ones.
    """

    def __init__(
        self,
        source_of: Callable[[Repository, str | None], TrafficSource],
        record: Callable[[Mapping[TrafficSource, Traffic]], Awaitable[None]],
    ) -> None:
        self._source_of = lru_cache(maxsize=_MOST_REMEMBERED)(source_of)
        self._record = record
        # Plain lists of numbers: this is counted for every answer.
        self._amounts: dict[TrafficSource, list[int]] = {}

    def served(self, repository: Repository, pulls: int, size_bytes: int) -> None:
        """Count content that a client received.

        Args:
            repository: the repository.
            pulls: 1 for a manifest, 0 for a blob.
            size_bytes: bytes of the answer's body.
        """
        amounts = self._of(self._source_of(repository, None))
        amounts[0] += pulls
        amounts[1] += size_bytes

    def fetched(self, upstream: str, repository: Repository, size_bytes: int) -> None:
        """Count bytes that pull-through received from an upstream for a repository."""
        self._of(self._source_of(repository, upstream))[2] += size_bytes

    async def flush(self) -> None:
        """Record the amounts so far. If recording fails, they stay counted."""
        amounts, self._amounts = self._amounts, {}
        try:
            await self._record({source: Traffic(*numbers) for source, numbers in amounts.items()})
        except BaseException:  # cancellation as well
            for source, numbers in amounts.items():
                self._amounts[source] = [each + more for each, more in zip(numbers, self._of(source), strict=True)]
            raise

    def _of(self, source: TrafficSource) -> list[int]:
        return self._amounts.setdefault(source, [0, 0, 0])
