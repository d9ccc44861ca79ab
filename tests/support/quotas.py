"""Quotas on a store, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mirror.filters.quota_metrics import QuotaCounter, quota_families
from mirror.filters.within_quotas import WithinQuotas
from mirror.oci.name_pattern import NamePattern
from mirror.records.lifecycle.quotas import AccountUsage, Quota, QuotaKind, QuotaRules
from mirror.runtime.metrics.shared_metrics import SharedMetrics
from mirror.store.registry import Store

MIB = 1024 * 1024


def quota(
    pattern: str | None = "**",
    *,
    user: str | None = None,
    size_bytes: int | None = None,
    manifests: int | None = None,
    tags: int | None = None,
    soft: float = 0.8,
) -> Quota:
    """Return a quota of repositories, or of a user."""
    limits = {QuotaKind.BYTES: size_bytes, QuotaKind.MANIFESTS: manifests, QuotaKind.TAGS: tags}
    named = tuple((kind, limit) for kind, limit in limits.items() if limit is not None)
    return Quota(named, soft, None if user or pattern is None else NamePattern(pattern), user)


@dataclass
class QuotaSite:
    """A store with quotas."""

    store: Store
    quotas: Iterable[Quota]
    rules: QuotaRules = field(init=False)
    metrics: SharedMetrics = field(init=False)
    counter: QuotaCounter = field(init=False)

    def __post_init__(self) -> None:
        self.rules = QuotaRules(self.quotas)
        names = [one.name for one in self.rules.quotas]
        self.metrics = SharedMetrics(quota_families(names))
        self.counter = QuotaCounter(self.metrics.slot(), names)

    def seen_by(self, user: str | None = None) -> WithinQuotas:
        """Return the registry as a user sees it."""
        return WithinQuotas(self.store, self.store.records.quotas, self.rules, self.counter, user)

    async def usages(self) -> list[AccountUsage]:
        """Return the usage of all accounts."""
        return await self.store.records.quotas.usages(self.rules)

    async def used_bytes(self) -> int:
        """Return the bytes that count for the first quota."""
        return (await self.usages())[0].used.size_bytes

    def counted(self, number: int) -> list[float]:
        """Return a counter of each quota: 0 for refusals, 1 for passed soft limits."""
        _, series = list(self.metrics.sums())[number]
        return [values[0] for _, values in series]
