"""Tracking of pulls: records when content was last pulled, for rules that keep only pulled tags."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Registry
from mirror.runtime.clock import Clock

Pulled = Mapping[tuple[Repository, Tag | Digest], datetime]

#: Bound on the pulls tracked between two flushes. Further names are skipped, known ones are still updated.
_MOST_WAITING = 100_000


class PullTracker(DelegatingRegistry):
    """Tracks requested manifests in memory. :meth:`flush` records them, all at once.

    A process that dies loses the pulls tracked within the last minute.

    Args:
        inner: the wrapped registry.
        record: stores the times durably.
        clock: source of the current time.
    """

    def __init__(self, inner: Registry, record: Callable[[Pulled], Awaitable[None]], clock: Clock) -> None:
        super().__init__(inner)
        self._record = record
        self._clock = clock
        self._pulled: dict[tuple[Repository, Tag | Digest], datetime] = {}

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
            # The newer times win.
            self._pulled = pulled | self._pulled
            raise

    def _note(self, repository: Repository, target: Tag | Digest) -> None:
        if len(self._pulled) < _MOST_WAITING or (repository, target) in self._pulled:
            self._pulled[repository, target] = self._clock.now()
