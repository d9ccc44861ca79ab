"""The pull-through of a process that serves, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from mirror.proxy.freshness import Freshness
from mirror.proxy.lookups import PullMemory
from mirror.proxy.outcomes import Outcomes
from mirror.proxy.registry import PullThroughRegistry
from mirror.proxy.routes import Routes, Rule, Upstream
from mirror.registry.port import Registry
from mirror.runtime.background import Background
from mirror.runtime.clock import Clock
from mirror.settings import Settings
from mirror.settings.pulling import Unattended
from mirror.store.registry import Store
from mirror.transfer.inflight import Inflight
from mirror.upstream.registry import UpstreamRegistry


@asynccontextmanager
async def pulling_through(
    settings: Settings, store: Store, upstreams: Mapping[str, UpstreamRegistry], outcomes: Outcomes, clock: Clock
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
    rules = [Rule.parse(known[section.upstream], section.source, section.to) for section in settings.proxy]
    await store.records.incomplete.complete_whole()
    async with Background() as tasks:
        inflight = Inflight(
            store,
            store.downloads,
            tasks,
            outcomes,
            store.records.incomplete.arrived,
            finish=settings.pull_through.unattended is Unattended.FINISH,
        )
        yield PullThroughRegistry(
            store,
            PullMemory(store.records.origins, store.records.incomplete),
            Routes(rules, settings.server.reserved),
            inflight,
            tasks,
            clock=clock,
            freshness=Freshness(fresh_for=settings.pull_through.fresh_for_duration),
            outcomes=outcomes,
        )
