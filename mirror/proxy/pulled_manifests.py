"""Manifests that are pulled through: served, revalidated, fetched, or served stale."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import ManifestUnknown, NotFound, UpstreamFault
from mirror.proxy.freshness import Freshness, FreshnessStep, LocalCopy, decide
from mirror.proxy.negative_cache import NegativeCache
from mirror.proxy.proxy_routes import ProxyRoute, is_missing, online
from mirror.proxy.pull_metrics import PullMetrics, PullOutcome
from mirror.proxy.upstream_lookups import PullRecords, UpstreamLookups
from mirror.records.origins import Origin
from mirror.registry.port import Reader
from mirror.registry.staleness import StaleManifest, Staleness
from mirror.runtime.clock import Clock
from mirror.runtime.concurrency.shared_tasks import SharedTasks, wait

#: The longest wait for an upstream to revalidate a manifest that the store holds.
UPSTREAM_TIMEOUT_SECONDS: Final = 1.0


class PulledManifests:
    """Gives manifests.

    Args:
        local: reads the store.
        records: records of what was pulled through.
        lookups: asks upstreams.
        tasks: owns the requests to upstreams.
        clock: tells the time of day.
        freshness: how long what is known stays good.
        outcomes: counts what becomes of pulls.
        timeout_seconds: the longest wait for an upstream to revalidate a manifest that the store holds.
    """

    def __init__(
        self,
        local: Reader,
        records: PullRecords,
        lookups: UpstreamLookups,
        tasks: asyncio.TaskGroup,
        *,
        clock: Clock,
        freshness: Freshness,
        outcomes: PullMetrics,
        timeout_seconds: float = UPSTREAM_TIMEOUT_SECONDS,
    ) -> None:
        self._local = local
        self._records = records
        self._lookups = lookups
        self._clock = clock
        self._freshness = freshness
        self._outcomes = outcomes
        self._timeout_seconds = timeout_seconds
        self._tasks = tasks
        self._requests: SharedTasks[tuple[Repository, Tag | Digest], Manifest] = SharedTasks()
        self._misses = NegativeCache()
        self._timed_out: set[tuple[Repository, Tag]] = set()

    async def get(self, repository: Repository, target: Tag | Digest, routes: tuple[ProxyRoute, ...]) -> Manifest:
        """Read a manifest; a :class:`StaleManifest` where it could not be revalidated.

        Args:
            repository, target: its local name.
            routes: where it may come from.

        Raises:
            ManifestUnknown, RepositoryUnknown: neither the store nor an upstream has it, or an upstream may not say so.
            UpstreamFault: the store does not have it, and an upstream failed.
        """
        origin = await self._records.origins.origin(repository, target) if isinstance(target, Tag) else None
        held = await self._find_local(repository, target, origin)
        step = decide(
            target,
            None if held is None else LocalCopy(origin),
            online=bool(online(routes)),
            missed_at=self._misses.missed_at(repository, target),
            now=self._clock.now(),
            freshness=self._freshness,
        )
        if held is None:
            return await self._fetch(repository, target, step, routes)
        if step is FreshnessStep.SERVE or origin is None or isinstance(target, Digest):
            self._outcomes.manifest(PullOutcome.SERVED)
            return held
        if step is FreshnessStep.REVALIDATE and not await self._records.origins.is_ours(repository):
            return await self._revalidate(repository, target, origin, held, online(routes))
        why = "it could not be confirmed a short while ago" if online(routes) else "no upstream is to be asked"
        return await self._stale(repository, target, origin, held, why)

    async def _find_local(self, repository: Repository, target: Tag | Digest, origin: Origin | None) -> Manifest | None:
        if origin is not None:
            return await self._lookups.find_local(repository, origin.digest)
        if isinstance(target, Digest):
            return await self._lookups.find_local(repository, target)
        try:
            return await self._local.get_manifest(repository, target)
        except NotFound:
            return None

    async def _fetch(
        self, repository: Repository, target: Tag | Digest, step: FreshnessStep, routes: tuple[ProxyRoute, ...]
    ) -> Manifest:
        if step is FreshnessStep.REFUSE or await self._records.origins.is_ours(repository):
            self._outcomes.manifest(PullOutcome.MISSED)
            return await self._local.get_manifest(repository, target)  # which says what is missing
        fetch = partial(self._lookups.fetch, repository, target, online(routes))
        try:
            return await wait(self._requests.join((repository, target), fetch, self._tasks))
        except NotFound:
            self._misses.remember(repository, target, self._clock.now())
            self._outcomes.manifest(PullOutcome.MISSED)
            raise
        except UpstreamFault as error:
            self._outcomes.manifest(PullOutcome.FAILED)
            if not is_missing(error, repository, routes):
                raise
            message = f"{repository} has no manifest {target}: {error}"
            raise ManifestUnknown(message, name=repository, reference=target) from error

    async def _revalidate(
        self, repository: Repository, tag: Tag, origin: Origin, held: Manifest, routes: tuple[ProxyRoute, ...]
    ) -> Manifest:
        key = repository, tag

        def is_awaited() -> bool:
            return key not in self._timed_out

        ask = partial(self._lookups.revalidate, repository, tag, origin, routes, is_awaited)
        request = self._requests.join(key, ask, self._tasks)
        # An upstream that was unreachable a moment ago is asked, and nobody waits for the answer.
        timeout_seconds = 0 if origin.upstream in self._lookups.unreachable else self._timeout_seconds
        try:
            return await wait(request, timeout_seconds)
        except TimeoutError:
            why = f"upstream {origin.upstream} has not answered in time"
            if is_awaited():
                self._timed_out.add(key)
                request.add_done_callback(lambda _request: self._timed_out.discard(key))
                await self._lookups.note_timeout(repository, tag, origin)
        except (UpstreamFault, NotFound) as error:
            why = str(error)
        return await self._stale(repository, tag, origin, held, why)

    async def _stale(self, repository: Repository, tag: Tag, origin: Origin, held: Manifest, why: str) -> Manifest:
        """Serve a tag that cannot be revalidated: the last manifest that the store holds with all that it needs."""
        self._outcomes.manifest(PullOutcome.STALE)
        try:
            manifest = await self._local.get_manifest(repository, tag)
        except NotFound:
            manifest = held
        age = self._clock.now() - origin.checked_at
        return StaleManifest.of(manifest, Staleness(max(int(age.total_seconds()), 0), why))
