"""Quotas of a serving process, built from the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from mirror.filters.quota_metrics import QuotaCounter, quota_families
from mirror.filters.within_quotas import WithinQuotas
from mirror.records.lifecycle.quotas import QuotaRules
from mirror.registry.port import Registry
from mirror.runtime.shared_metrics import MetricFamily, WorkerSlot
from mirror.settings import Settings
from mirror.store.registry import Store

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
