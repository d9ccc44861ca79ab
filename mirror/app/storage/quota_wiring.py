"""Quotas of a process, built from the settings, and their usage for the API, for metrics and for commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Final, TypeAlias

from prometheus_client.metrics_core import Metric

from mirror.filters.quota_metrics import QuotaCounter, quota_families
from mirror.filters.within_quotas import WithinQuotas
from mirror.records.lifecycle.quotas import AccountUsage, QuotaBook, QuotaKind, QuotaRules
from mirror.registry.port import Registry
from mirror.runtime.metrics.metrics_exposition import metric
from mirror.runtime.metrics.shared_metrics import MetricFamily, MetricKind, WorkerSlot
from mirror.settings import Settings
from mirror.store.registry import Store

# Counting reads the rows of all content.
_FRESH_SECONDS: Final = 60.0

#: The usage, computed when the page is read. The other metrics of quotas are counted in shared memory.
USED_RATIO: Final = MetricFamily(
    "plugin_mirror_quota_used_ratio",
    "Used part of each quota, from 0 to 1: of the limit that is used most, and of the user who uses most.",
    MetricKind.GAUGE,
    ("quota",),
)
#: Wraps a registry for a user, or for anonymous clients.
QuotaWrapper: TypeAlias = Callable[[Registry, str | None], Registry]


def quota_rules(settings: Settings) -> QuotaRules:
    """Return the configured quotas."""
    return QuotaRules(section.quota() for section in settings.quotas)


def metrics_of_quotas(settings: Settings) -> tuple[MetricFamily, ...]:
    """Return the metrics that serving processes count in shared memory; none without quotas."""
    return quota_families(_names(settings)) if settings.quotas else ()


def quota_wrapper(settings: Settings, store: Store, slot: WorkerSlot) -> QuotaWrapper:
    """Return the function that lets a registry enforce the quotas, and lets the store record who pushed."""
    rules = quota_rules(settings)
    counter = QuotaCounter(slot, _names(settings))

    def wrapped(registry: Registry, user: str | None) -> Registry:
        if not rules.quotas and user is None:
            return registry
        return WithinQuotas(registry, store.records.quotas, rules, counter, user)

    return wrapped


def _names(settings: Settings) -> list[str]:
    return [section.quota().name for section in settings.quotas]


class QuotaReport:
    """Usage of the quotas.

    Args:
        book: the usage.
        rules: the quotas.
    """

    def __init__(self, book: QuotaBook, rules: QuotaRules) -> None:
        self._book = book
        self._rules = rules
        self._kept: tuple[float, dict[str, float]] | None = None

    async def give(self) -> Mapping[str, object]:
        """Return the report ``/api/v1/quotas``."""
        return {"quotas": [as_json(usage) for usage in await self._book.usages(self._rules)]}

    async def metrics(self) -> Sequence[Metric]:
        """Return the used part of each quota, at most a minute old."""
        if not self._rules.quotas:
            return ()
        if self._kept is None or monotonic() - self._kept[0] > _FRESH_SECONDS:
            parts = {quota.name: 0.0 for quota in self._rules.quotas}
            for usage in await self._book.usages(self._rules):
                name = usage.account.quota.name
                parts[name] = max(parts[name], usage.part)
            self._kept = (monotonic(), parts)
        return (metric(USED_RATIO, [((name,), [part]) for name, part in self._kept[1].items()]),)


def as_json(usage: AccountUsage) -> dict[str, Any]:
    """Return the usage of an account as plain values."""
    limits = dict(usage.account.quota.limits)
    return {
        "quota": usage.account.quota.name,
        "account": usage.account.scope,
        "used": {kind.value: usage.used.of(kind) for kind in QuotaKind},
        "reserved_bytes": usage.reserved_bytes,
        "limits": {kind.value: limits.get(kind) for kind in QuotaKind},
        "soft": usage.account.quota.soft,
        "part": round(usage.part, 4),
    }
