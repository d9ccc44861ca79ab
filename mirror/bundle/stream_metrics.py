"""Metrics of the streams of bundles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from mirror.bundle.stream_status import StreamStatus
from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind


def _gauge(name: str, explanation: str) -> MetricFamily:
    return MetricFamily(f"plugin_mirror_bundle_{name}", explanation, MetricKind.GAUGE, ("stream",))


#: Gauges of each stream, with the functions that read their values from its status.
GAUGES: Final[tuple[tuple[MetricFamily, Callable[[StreamStatus], float]], ...]] = (
    (
        _gauge("age_seconds", "Seconds since the last bundle of a stream was made, imported or served from its file."),
        lambda status: status.age_seconds,
    ),
    (
        _gauge("serial", "Serial of the last bundle of a stream, imported or served from its file."),
        lambda status: status.serial,
    ),
)


def stream_gauges(statuses: Sequence[StreamStatus]) -> list[tuple[MetricFamily, list[tuple[Labels, list[float]]]]]:
    """Return the gauges of streams, each family with its series."""
    return [(family, [((status.stream,), [read(status)]) for status in statuses]) for family, read in GAUGES]
