"""Pull-through of a serving process, built from the settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog

from mirror.filters.room_for_pushes import RoomForPushes, RoomMaker
from mirror.lifecycle.collector import Collector
from mirror.lifecycle.pull_budget import PullBudget, StorageRoom
from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import MirrorError, NotFound, UpstreamRefused
from mirror.proxy.freshness import Freshness
from mirror.proxy.proxy_routes import ProxyRule, Routes, Upstream, online
from mirror.proxy.pull_metrics import PullMetrics
from mirror.proxy.registry import PullThroughRegistry
from mirror.proxy.upstream_lookups import PullRecords
from mirror.records.lifecycle.pulled_content import PulledArtifact, Refetchable
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import CollectionRules, Grace
from mirror.records.sync_runs import MirroredTag
from mirror.registry.port import Registry
from mirror.runtime.clock import Clock, SystemClock
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.runtime.concurrency.threads import in_thread
from mirror.settings import Settings
from mirror.settings.pull_through_settings import Unattended, WhenFull
from mirror.store.registry import Store
from mirror.store.work_locks import StorageLocks
from mirror.transfer.active_downloads import ActiveDownloads
from mirror.upstream.registry import UpstreamRegistry

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
#: Name of the lock, as part of an error message.
_EVICTION: Final = "eviction"
#: Looking at the disk costs one call of the system.
_PERIOD_SECONDS: Final = 5.0
_PERIODS_OF_THE_BUDGET: Final = 12
#: Decisions about anything but evicted content are left to the collection.
_NEVER: Final = timedelta(days=36500)
_AT_ONCE: Final = CollectionRules(Grace(_NEVER, {ReviewCause.EVICTED: timedelta(0)}, bytes=timedelta(0)))


async def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class PullingThrough:
    """Pull-through of a serving process.

    Attributes:
        registry: the store extended by pull-through, or the store itself without proxy rules.
        begin: adapts the records in the store to the rules. Call it before the registry is served.
        chores: background work that keeps the budget.
    """

    registry: Registry
    begin: Callable[[], Coroutine[Any, Any, None]] = _nothing
    chores: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()


@asynccontextmanager
async def pulling_through(
    settings: Settings, store: Store, upstreams: Mapping[str, UpstreamRegistry], outcomes: PullMetrics, clock: Clock
) -> AsyncIterator[PullingThrough]:
    """Yield pull-through, as configured. Leaving stops downloads.

    Args:
        settings: proxy rules and pull-through settings.
        store: the local store.
        upstreams: open upstreams by name, with all upstreams of proxy rules.
        outcomes: counter of the outcomes of pulls.
        clock: source of the current time.
    """
    cache = store.cache_budget
    content: Registry = store if cache is None else RoomForPushes(store, cache)
    if not settings.proxy:
        yield PullingThrough(content)
        return
    known = {
        name: Upstream(name, registry, offline=settings.offline or settings.upstreams[name].offline)
        for name, registry in upstreams.items()
    }
    rules = [
        ProxyRule.parse(known[section.upstream], section.source, section.to, section.platforms)
        for section in settings.proxy
    ]
    routes = Routes(rules, settings.server.reserved)
    freshness = Freshness(fresh_for=settings.pull_through.fresh_for_duration)

    async def begin() -> None:
        # The upstream may have moved on while no rule followed it, so the first pull of such a tag asks the upstream.
        await _release_tags(settings, store, routes, clock.now() - max(freshness.fresh_for, freshness.retry_after))
        # The process may have died after the last blob of a manifest arrived, and before the manifest became complete.
        await store.records.incomplete.complete_whole()

    budget = pull_budget(settings, store, partial(_refetchable, routes), partial(_answers, routes))
    async with BackgroundTasks() as tasks:
        downloads = ActiveDownloads(
            store,
            store.downloads,
            tasks,
            outcomes,
            store.records.incomplete.arrived,
            finish=settings.pull_through.unattended is Unattended.FINISH,
            make_room=budget.make_room if cache is None else partial(_make_room, (cache, budget)),
        )
        registry = PullThroughRegistry(
            content,
            PullRecords(store.records.origins, store.records.incomplete, store.records.absent),
            routes,
            downloads,
            tasks,
            clock=clock,
            freshness=freshness,
            outcomes=outcomes,
        )
        chores = [] if settings.server.read_only else [partial(keep_budget, budget)]
        yield PullingThrough(RoomForPushes(registry, budget), begin, chores)


async def _make_room(makers: Sequence[RoomMaker], size_bytes: int) -> bool:
    """Let each maker of room try, until the content fits."""
    for maker in makers:
        if await maker.make_room(size_bytes):
            return True
    return False


def _refetchable(routes: Routes, repository: Repository) -> frozenset[str]:
    return frozenset(route.upstream.name for route in online(routes.of(repository)))


async def _answers(routes: Routes, artifact: PulledArtifact) -> bool:
    """Ask the upstreams of an artifact about it. Any answer will do, also that it is gone."""
    target = Tag(artifact.tags[0]) if artifact.tags else Digest.parse(artifact.digests[0])
    for route in online(routes.of(Repository(artifact.repository))):
        try:
            await route.upstream.registry.resolve(route.repository, target)
        except (NotFound, UpstreamRefused):
            return True
        except MirrorError:
            continue
        return True
    return False


async def _release_tags(settings: Settings, store: Store, routes: Routes, confirmed_before: datetime) -> None:
    """Give pull-through the tags whose rule is gone, so that they follow the upstream again (ADR 37)."""
    rules = [section.rule() for section in settings.mirrors]

    def unwanted(brought: Sequence[MirroredTag]) -> list[MirroredTag]:
        return [
            row
            for row in brought
            if routes.of(row.repository) and not any(rule.may_bring(row.repository, row.tag) for rule in rules)
        ]

    released = await in_thread(unwanted, await store.records.tag_owners.brought_here())
    if released:
        await store.records.tag_owners.release(released, confirmed_before)
        _LOG.info("tags without a mirror rule are pulled through from now on", count=len(released))


def pull_budget(
    settings: Settings,
    store: Store,
    refetchable: Refetchable,
    answers: Callable[[PulledArtifact], Awaitable[bool]],
) -> PullBudget:
    """Return the configured budget.

    Args:
        settings: settings of the process.
        store: the store.
        refetchable: returns the upstreams from which a repository can be pulled again.
        answers: returns False if no upstream of an artifact answers at the moment.
    """
    section = settings.pull_through
    locks = StorageLocks(settings.storage.path)
    # Beside the collection, which may work for long. Each of its steps is one transaction, and so is each step here.
    collector = Collector(store.records.reviews, _AT_ONCE, store.uploads.repositories, _CLOCK)
    return PullBudget(
        store.records.pulled_contents,
        section.keep.limits(),
        refetchable,
        StorageRoom(
            store.monitoring.missing_bytes, collector.collect, store.downloads.under_way, partial(locks, _EVICTION)
        ),
        _CLOCK,
        when_full=section.when_full is WhenFull.EVICT,
        answers=answers,
    )


async def keep_budget(budget: PullBudget) -> None:
    """Keep a budget until cancelled: the disk is looked at every few seconds, the limits every minute."""
    rounds = 0
    while True:
        await asyncio.sleep(_PERIOD_SECONDS)
        rounds += 1
        work = budget.keep_within if rounds % _PERIODS_OF_THE_BUDGET == 0 else budget.relieve
        try:
            await work()
        except MirrorError as error:
            # The next round tries again. A failed round must not end the budget for good.
            _LOG.error("pulled content could not be evicted", error=str(error), **error.detail)
        except Exception as error:  # noqa: BLE001 - a bug here must not end the task group, and with it all downloads
            _LOG.error("pulled content could not be evicted: unexpected error", exc_info=error)
