"""Pull-through of a serving process, built from the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial

import structlog

from mirror.app.storage.budgeting import keep_budget, pull_budget
from mirror.oci import Repository
from mirror.proxy.freshness import Freshness
from mirror.proxy.proxy_routes import ProxyRule, Routes, Upstream, online
from mirror.proxy.pull_metrics import PullMetrics
from mirror.proxy.registry import PullThroughRegistry
from mirror.proxy.upstream_lookups import PullRecords
from mirror.records.sync_runs import MirroredTag
from mirror.registry.port import Registry
from mirror.runtime.clock import Clock
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.runtime.concurrency.threads import in_thread
from mirror.settings import Settings
from mirror.settings.pull_through_settings import Unattended
from mirror.store.registry import Store
from mirror.transfer.active_downloads import ActiveDownloads
from mirror.upstream.registry import UpstreamRegistry

_LOG = structlog.get_logger(__name__)


@asynccontextmanager
async def pulling_through(
    settings: Settings, store: Store, upstreams: Mapping[str, UpstreamRegistry], outcomes: PullMetrics, clock: Clock
) -> AsyncIterator[Registry]:
    """Yield the store extended by pull-through, or the store itself without proxy rules. Leaving stops downloads.

    Args:
        settings: proxy rules and pull-through settings.
        store: the local store.
        upstreams: open upstreams by name, with all upstreams of proxy rules.
        outcomes: counter of the outcomes of pulls.
        clock: source of the current time.
    """
    if not settings.proxy:
        yield store
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
    # The upstream may have moved on while no rule followed it, so the first pull of such a tag asks the upstream.
    await _release_tags(settings, store, routes, clock.now() - max(freshness.fresh_for, freshness.retry_after))
    # The process may have died after the last blob of a manifest arrived, and before the manifest became complete.
    await store.records.incomplete.complete_whole()
    budget = pull_budget(settings, store, partial(_refetchable, routes))
    async with BackgroundTasks() as tasks:
        if not settings.server.read_only:
            tasks.create_task(keep_budget(budget))
        downloads = ActiveDownloads(
            store,
            store.downloads,
            tasks,
            outcomes,
            store.records.incomplete.arrived,
            finish=settings.pull_through.unattended is Unattended.FINISH,
            make_room=budget.make_room,
        )
        yield PullThroughRegistry(
            store,
            PullRecords(store.records.origins, store.records.incomplete, store.records.absent),
            routes,
            downloads,
            tasks,
            clock=clock,
            freshness=freshness,
            outcomes=outcomes,
        )


def _refetchable(routes: Routes, repository: Repository) -> frozenset[str]:
    return frozenset(route.upstream.name for route in online(routes.of(repository)))


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
