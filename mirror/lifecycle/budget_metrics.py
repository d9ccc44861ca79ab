"""Metrics of the budget of pull-through, read from its recorded figures. All processes share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mirror.lifecycle.eviction import KeepLimits
from mirror.records.lifecycle.pulled_content import BudgetRecord
from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind


def _gauge(name: str, explanation: str) -> MetricFamily:
    return MetricFamily(f"plugin_mirror_{name}", explanation, MetricKind.GAUGE)


def _counter(name: str, explanation: str) -> MetricFamily:
    return MetricFamily(f"plugin_mirror_{name}_total", explanation, MetricKind.COUNTER)


#: Metrics with the functions that read their values. None: the metric has no value.
BUDGET_METRICS: Final[tuple[tuple[MetricFamily, Callable[[BudgetRecord, KeepLimits], float | None]], ...]] = (
    (
        _gauge("pulled_through_bytes", "Bytes of content that only pull-through needs, when they were last counted."),
        lambda record, _: record.used_bytes,
    ),
    (
        _gauge("pulled_through_tags", "Pulled-through tags that may be evicted, when they were last counted."),
        lambda record, _: record.tags,
    ),
    (
        _gauge("pulled_through_budget_bytes", "Bytes of content that pull-through may keep (pull_through.keep.bytes)."),
        lambda _, limits: limits.size_bytes,
    ),
    (_counter("evicted_tags", "Pulled-through tags that were evicted."), lambda record, _: record.evicted_tags),
    (
        _counter("evicted_bytes", "Bytes of content that evictions left without a user."),
        lambda record, _: record.evicted_bytes,
    ),
    (
        _counter("emergency_evictions", "Evictions because the disk was full."),
        lambda record, _: record.emergencies,
    ),
)


def budget_series(
    record: BudgetRecord, limits: KeepLimits
) -> list[tuple[MetricFamily, list[tuple[Labels, list[float]]]]]:
    """Return the metrics of the budget, each family with its series. A metric without a value is left out."""
    found = [(family, read(record, limits)) for family, read in BUDGET_METRICS]
    return [(family, [((), [float(value)])]) for family, value in found if value is not None]
