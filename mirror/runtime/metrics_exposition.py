"""Metrics as Prometheus reads them, in its text format or in OpenMetrics, by its own library."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from mirror.runtime.shared_metrics import Labels, MetricFamily, MetricKind, SharedMetrics

# Taken once, before any fork: a clock that is set must not make it look as if processes had been started anew.
_BOOT_SECONDS: Final = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class _OneProcess(ProcessCollector):
    """As the library has it, where /proc shows nothing but processes, too (systemd's ProcSubset=pid)."""

    def _boot_time(self) -> float:
        return _BOOT_SECONDS


@dataclass(frozen=True, slots=True)
class _Page(Collector):
    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def summed_metrics(shared_metrics: SharedMetrics) -> list[Metric]:
    """The sums of all processes."""
    return [metric(family, series) for family, series in shared_metrics.sums()]


def process_metrics(shared_metrics: SharedMetrics, namespace: str) -> Collection[Metric]:
    """Memory, processor time and open files of each process, as the kernel tells, by its place.

    Args:
        shared_metrics: knows the processes.
        namespace: begins the names.
    """
    by_name: dict[str, Metric] = {}
    for place, pid in shared_metrics.processes.items():
        for found in _OneProcess(namespace, partial(int, pid), registry=None).collect():
            whole = by_name.setdefault(found.name, Metric(found.name, found.documentation, found.type))
            whole.samples += [Sample(one.name, {"worker": str(place)}, one.value) for one in found.samples]
    return by_name.values()


def metric(family: MetricFamily, series: Iterable[tuple[Labels, Sequence[float]]]) -> Metric:
    """A family with the cells of its series, as the library wants it."""
    if family.kind is MetricKind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.label_names)
        bounds = [*map(str, family.bounds), "+Inf"]
        for labels, (*buckets, total) in series:
            histogram.add_metric(labels, list(zip(bounds, accumulate(buckets), strict=True)), total)
        return histogram
    kind = CounterMetricFamily if family.kind is MetricKind.COUNTER else GaugeMetricFamily
    numbers = kind(family.name, family.help, labels=family.label_names)
    for labels, (value,) in series:
        numbers.add_metric(labels, value)
    return numbers


def expose(metrics: Iterable[Metric], accept: str) -> tuple[str, bytes]:
    """The page of metrics.

    Args:
        metrics: what is on it.
        accept: the ``Accept`` header of who asks; it may name OpenMetrics.

    Returns:
        Its content type, and its bytes.
    """
    encode, content_type = choose_encoder(accept)
    return content_type, encode(_Page(metrics))
