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

#: Maximum wait for an upstream that revalidates a manifest in the store.
UPSTREAM_TIMEOUT_SECONDS: Final = 1.0
#: The reason why an offline upstream is not asked.
_OFFLINE: Final = "the configuration forbids requests to the upstream (offline or server.read_only)"


class PulledManifests:
    """Reads manifests from the store, and from upstreams if necessary.

    Args:
        local: reader of the store.
        records: records of pull-through.
        lookups: requests to upstreams.
        tasks: task group that owns the requests to upstreams.
        clock: source of the current time.
        freshness: durations for which earlier answers are trusted.
        outcomes: counter of the outcomes of pulls.
        timeout_seconds: maximum wait for an upstream that revalidates a manifest in the store.
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
        # Callers at the same time share one request. It goes on if they are cancelled or wait no longer.
        self._requests: SharedTasks[tuple[Repository, Tag | Digest], Manifest] = SharedTasks()
        self._misses = NegativeCache()
        # Tags whose request is still running although a caller was answered with the stale manifest.
        self._timed_out: set[tuple[Repository, Tag]] = set()

    async def get(self, repository: Repository, target: Tag | Digest, routes: tuple[ProxyRoute, ...]) -> Manifest:
        """Return a manifest, as a :class:`StaleManifest` if it could not be revalidated.

        Args:
            repository: local repository.
            target: tag or digest.
            routes: routes to the upstreams of the repository.

        Raises:
            ManifestUnknown, RepositoryUnknown: neither the store nor an upstream has the manifest, or an upstream
                failed and the failure is answered as missing content, see :func:`mirror.proxy.proxy_routes.is_missing`.
            UpstreamFault: the store does not have the manifest, and an upstream failed.
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
        why = "the upstream could not confirm the tag a moment ago" if online(routes) else _OFFLINE
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
            try:
                # Raises the error that names the missing part.
                return await self._local.get_manifest(repository, target)
            except NotFound as error:
                if online(routes):
                    raise
                raise type(error)(f"{error}; {_OFFLINE}", **error.detail) from error
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
        # The request to an upstream that was unreachable goes on in the background, but this caller does not wait.
        timeout_seconds = 0 if origin.upstream in self._lookups.unreachable else self._timeout_seconds
        try:
            return await wait(request, timeout_seconds)
        except TimeoutError:
            why = f"upstream {origin.upstream} has not answered in time"
            # From now on the request must not store a moved tag: this caller gets the old digest, and must not get
            # another one when it asks a second time during the same install.
            if is_awaited():
                self._timed_out.add(key)
                request.add_done_callback(lambda _request: self._timed_out.discard(key))
                await self._lookups.note_timeout(repository, tag, origin)
        except (UpstreamFault, NotFound) as error:
            why = str(error)
        return await self._stale(repository, tag, origin, held, why)

    async def _stale(self, repository: Repository, tag: Tag, origin: Origin, held: Manifest, why: str) -> Manifest:
        """Return the manifest of a tag that cannot be revalidated: the last complete one, else the incomplete one."""
        self._outcomes.manifest(PullOutcome.STALE)
        try:
            manifest = await self._local.get_manifest(repository, tag)
        except NotFound:
            manifest = held
        # A clock that was set back must not give a negative age.
        age = self._clock.now() - origin.checked_at
        return StaleManifest.of(manifest, Staleness(max(int(age.total_seconds()), 0), why))
