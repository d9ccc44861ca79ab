"""How mirror rules and upstreams stand, as a process that serves tells it: reports and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.metrics_core import Metric

from mirror.runtime.clock import Clock
from mirror.runtime.metrics_exposition import metric
from mirror.store.lock import RuleLocks
from mirror.store.registry import Store
from mirror.sync.rule import MirrorRule
from mirror.sync.rule_status import RuleStatus, rule_statuses, upstream_usage
from mirror.sync.sync_metrics import rule_gauges
from mirror.upstream.registry import UpstreamRegistry
from mirror.upstream.stats import UpstreamStats


@dataclass(frozen=True, slots=True)
class Mirroring:
    """How mirror rules and their upstreams stand.

    Attributes:
        rules: every rule.
        urls: the upstreams' addresses, by name.
        upstreams: those that this process has open, by name.
        store: has the journal.
        locks: tell which rules are being run.
        clock: tells the time.
    """

    rules: Sequence[MirrorRule]
    urls: Mapping[str, str]
    upstreams: Mapping[str, UpstreamRegistry]
    store: Store
    locks: RuleLocks
    clock: Clock

    async def states(self) -> list[RuleStatus]:
        """How each rule stands."""
        return await rule_statuses(self.rules, self.store, self.locks.is_held, self.clock.now())

    async def mirrors(self) -> Mapping[str, object]:
        """``/api/v1/mirrors``."""
        return {"mirrors": [state.to_json() for state in await self.states()]}

    async def upstream_list(self) -> Mapping[str, object]:
        """``/api/v1/upstreams``. What is counted is this process's."""
        states = await self.states()
        return {"upstreams": [self._upstream(name, url, states) for name, url in sorted(self.urls.items())]}

    async def metrics(self) -> list[Metric]:
        """How each rule stands, in numbers."""
        states = await self.states()
        return [metric(family, series) for family, series in rule_gauges(states)]

    def _upstream(self, name: str, url: str, states: Sequence[RuleStatus]) -> dict[str, Any]:
        registry = self.upstreams.get(name)
        return {
            "name": name,
            "url": url,
            **upstream_usage(name, states),
            "now": None if registry is None else _stats_as_json(registry.stats()),
        }


def _stats_as_json(stats: UpstreamStats) -> dict[str, Any]:
    quota = stats.quota
    return {
        "offline": stats.offline,
        "requests": stats.requests,
        "received_bytes": stats.received_bytes,
        "failures": dict(stats.failures),
        "rest_seconds": stats.rest_seconds,
        "quota": None if quota is None else {"limit": quota.limit, "remaining": quota.remaining},
        "hosts": [
            {
                "host": host.host,
                "breaker": host.breaker.value,
                "since": host.since and host.since.isoformat(timespec="seconds"),
                "why": host.why,
            }
            for host in stats.hosts
        ],
    }


def guarded(
    report: Callable[[], Awaitable[object]], may_look: Callable[[], Awaitable[object]]
) -> Callable[[], Awaitable[object]]:
    """A report for callers who may list repositories: it tells no more of names than that does."""

    async def give() -> object:
        await may_look()
        return await report()

    return give
