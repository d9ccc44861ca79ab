"""Notes when something was last pulled, for rules that keep only what is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Registry
from mirror.runtime.clock import Clock

Pulled = Mapping[tuple[Repository, Tag | Digest], datetime]

_MOST_WAITING = 100_000


class PullTracker(DelegatingRegistry):
    """Notes what manifests are asked for, in memory; :meth:`flush` has them recorded, all at once.

    A process that dies loses what it has noted within the last minute.

    Args:
        inner: answers.
        record: keeps the times for good.
        clock: tells them.
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
        """Have what was noted recorded. Where that fails, it is noted still."""
        pulled, self._pulled = self._pulled, {}
        try:
            await self._record(pulled)
        except BaseException:
            self._pulled = pulled | self._pulled
            raise

    def _note(self, repository: Repository, target: Tag | Digest) -> None:
        if len(self._pulled) < _MOST_WAITING or (repository, target) in self._pulled:
            self._pulled[repository, target] = self._clock.now()
