"""Tracking of pulls: records when content was last pulled, and how often. The upkeep of storage decides by that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.records.lifecycle.pull_counts import PullCount, PullCounts
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Registry
from mirror.runtime.clock import Clock

#: Bound on the pulls tracked between two flushes. Further names are skipped, known ones are still updated.
_MOST_WAITING = 100_000


class PullTracker(DelegatingRegistry):
    """Counts requested manifests in memory. :meth:`flush` records the counts, all at once.

    A process that dies loses the pulls tracked within the last minute.

    Args:
        inner: the wrapped registry.
        record: adds the counts to those stored.
        clock: source of the current time.
    """

    def __init__(self, inner: Registry, record: Callable[[PullCounts], Awaitable[None]], clock: Clock) -> None:
        super().__init__(inner)
        self._record = record
        self._clock = clock
        self._pulled: dict[tuple[Repository, Tag | Digest], PullCount] = {}

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        found = await super().resolve(repository, target)
        self._note(repository, target)
        return found

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        found = await super().get_manifest(repository, target)
        self._note(repository, target)
        return found

    async def flush(self) -> None:
        """Record the pulls tracked so far. If recording fails, they stay tracked."""
        # Exchange the dictionary first: pulls that arrive while the record is written go into the new one.
        pulled, self._pulled = self._pulled, {}
        try:
            await self._record(pulled)
        except BaseException:  # cancellation as well
            for key, newer in self._pulled.items():
                pulled[key] = pulled[key] + newer if key in pulled else newer
            self._pulled = pulled
            raise

    def _note(self, repository: Repository, target: Tag | Digest) -> None:
        key, now = (repository, target), self._clock.now()
        before = self._pulled.get(key)
        if before is not None:
            before.last_at = now
            before.number += 1
        elif len(self._pulled) < _MOST_WAITING:
            self._pulled[key] = PullCount(now)
