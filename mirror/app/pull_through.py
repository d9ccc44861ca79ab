"""The pull-through of a process that serves, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from mirror.proxy.freshness import Freshness
from mirror.proxy.proxy_routes import ProxyRule, Routes, Upstream
from mirror.proxy.pull_metrics import PullMetrics
from mirror.proxy.registry import PullThroughRegistry
from mirror.proxy.upstream_lookups import PullRecords
from mirror.registry.port import Registry
from mirror.runtime.clock import Clock
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.settings import Settings
from mirror.settings.pull_through_settings import Unattended
from mirror.store.registry import Store
from mirror.transfer.active_downloads import ActiveDownloads
from mirror.upstream.registry import UpstreamRegistry


@asynccontextmanager
async def pulling_through(
    settings: Settings, store: Store, upstreams: Mapping[str, UpstreamRegistry], outcomes: PullMetrics, clock: Clock
) -> AsyncIterator[Registry]:
    """The store, with what the proxy rules fetch; the store itself where there are none. Leaving stops downloads.

    Args:
        settings: the rules, and how they are followed.
        store: what is here.
        upstreams: those that the rules name, open, by name.
        outcomes: told what becomes of pulls.
        clock: tells the time of day.
    """
    if not settings.proxy:
        yield store
        return
    known = {
        name: Upstream(name, registry, offline=settings.offline or settings.upstreams[name].offline)
        for name, registry in upstreams.items()
    }
    rules = [ProxyRule.parse(known[section.upstream], section.source, section.to) for section in settings.proxy]
    await store.records.incomplete.complete_whole()
    async with BackgroundTasks() as tasks:
        downloads = ActiveDownloads(
            store,
            store.downloads,
            tasks,
            outcomes,
            store.records.incomplete.arrived,
            finish=settings.pull_through.unattended is Unattended.FINISH,
        )
        yield PullThroughRegistry(
            store,
            PullRecords(store.records.origins, store.records.incomplete),
            Routes(rules, settings.server.reserved),
            downloads,
            tasks,
            clock=clock,
            freshness=Freshness(fresh_for=settings.pull_through.fresh_for_duration),
            outcomes=outcomes,
        )
