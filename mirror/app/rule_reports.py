"""How mirror rules and upstreams stand, as a process that serves tells it: reports and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from prometheus_client.metrics_core import Metric

from mirror.runtime.clock import Clock
from mirror.runtime.metrics import Family, Kind
from mirror.runtime.metrics_exposition import metric
from mirror.store.lock import RuleLocks
from mirror.store.registry import Store
from mirror.sync.rule import MirrorRule
from mirror.sync.rule_status import RuleStatus, rule_statuses
from mirror.upstream.registry import UpstreamRegistry
from mirror.upstream.stats import UpstreamStats


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _gauge(name: str, explanation: str) -> Family:
    return Family(f"plugin_mirror_rule_{name}", explanation, Kind.GAUGE, ("rule",))


#: What is told of each rule, and how it is read from its state.
GAUGES: Final[tuple[tuple[Family, Callable[[RuleStatus], float | None]], ...]] = (
    (
        _gauge(
            "last_success_timestamp_seconds", "When the last run of a mirror rule that succeeded ended (Unix time)."
        ),
        lambda state: _seconds(state.last_success_at),
    ),
    (
        _gauge("lag_seconds", "How long ago that was."),
        lambda state: state.lag_seconds,
    ),
    (
        _gauge("next_run_timestamp_seconds", "When a mirror rule is due (Unix time)."),
        lambda state: _seconds(state.next_run_at),
    ),
    (_gauge("running", "1 while a process runs the rule."), lambda state: float(state.state == "running")),
    (_gauge("tags", "Tags that a mirror rule has brought and keeps."), lambda state: len(state.held)),
    (_gauge("tags_gone", "Those of them that are no longer upstream."), lambda state: len(state.gone)),
    (
        _gauge("tags_behind", "Those of them that are pinned, and have moved on upstream."),
        lambda state: len(state.behind),
    ),
)


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
        found = []
        for family, read in GAUGES:
            values = [((state.rule.name,), [value]) for state in states if (value := read(state)) is not None]
            found.append(metric(family, values))
        return found

    def _upstream(self, name: str, url: str, states: Sequence[RuleStatus]) -> dict[str, Any]:
        using = [state for state in states if state.rule.source == name]
        successes = [state.last_success_at for state in using if state.last_success_at is not None]
        registry = self.upstreams.get(name)
        return {
            "name": name,
            "url": url,
            "rules": [state.rule.name for state in using],
            "last_success_at": max(successes).isoformat(timespec="seconds") if successes else None,
            "failing": [
                {"rule": state.rule.name, "reason": state.failure.reason}
                for state in using
                if state.failure is not None
            ],
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
