"""Metrics of the readers of changes. All processes share the catalog, so that each of them can show the values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from mirror.records.changes.deliveries import EndpointCounts
from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind

_OLDEST_CHANGE: Final = MetricFamily(
    "plugin_mirror_audit_oldest_seconds",
    "Time in seconds for which the oldest change has waited for the files of the audit; 0 for none.",
    MetricKind.GAUGE,
)
_EVENTS: Final = MetricFamily(
    "plugin_mirror_events",
    "Events that an endpoint has not taken, by state (waiting, dead).",
    MetricKind.GAUGE,
    ("endpoint", "state"),
)
_OLDEST: Final = MetricFamily(
    "plugin_mirror_events_oldest_seconds",
    "Time in seconds for which the oldest waiting event of an endpoint has waited; 0 for none.",
    MetricKind.GAUGE,
    ("endpoint",),
)


def audit_gauge(oldest_at: datetime | None, now: datetime) -> tuple[MetricFamily, list[tuple[Labels, list[float]]]]:
    """Return the gauge of changes that wait for the audit.

    Args:
        oldest_at: time of the oldest one, in UTC; None for none.
        now: present time, in UTC.
    """
    return _OLDEST_CHANGE, [((), [_age_seconds(oldest_at, now)])]


def event_gauges(
    endpoints: Sequence[str], counts: Sequence[EndpointCounts], now: datetime
) -> list[tuple[MetricFamily, list[tuple[Labels, list[float]]]]]:
    """Return the gauges of endpoints.

    Args:
        endpoints: names of the configured endpoints.
        counts: events in the catalog. Those of former endpoints are left out, because nobody can help them.
        now: present time, in UTC.
    """
    found = {one.endpoint: one for one in counts}
    known = [found.get(name, EndpointCounts(name, 0, 0, None)) for name in endpoints]
    events: list[tuple[Labels, list[float]]] = []
    for one in known:
        events += [((one.endpoint, "waiting"), [one.waiting]), ((one.endpoint, "dead"), [one.dead])]
    oldest: list[tuple[Labels, list[float]]] = [((one.endpoint,), [_age_seconds(one.oldest_at, now)]) for one in known]
    return [(_EVENTS, events), (_OLDEST, oldest)]


def _age_seconds(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max((now - moment).total_seconds(), 0.0)
