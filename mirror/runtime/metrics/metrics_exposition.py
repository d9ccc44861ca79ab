"""Metrics in the text formats of Prometheus and OpenMetrics, rendered by ``prometheus_client``."""

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

from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind, SharedMetrics

# Computed once, before any fork. A later change of the system clock would otherwise move the start times of the
# processes, as if they had been restarted.
_BOOT_SECONDS: Final = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class _OneProcess(ProcessCollector):
    """A process collector that also works where /proc shows only processes (``ProcSubset=pid`` of systemd).

    The collector of the library reads the boot time from ``/proc/stat``, which is hidden there.
    """

    def _boot_time(self) -> float:
        return _BOOT_SECONDS


@dataclass(frozen=True, slots=True)
class _Page(Collector):
    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def summed_metrics(shared_metrics: SharedMetrics, families: Iterable[MetricFamily] | None = None) -> list[Metric]:
    """Return metrics, summed over all processes. ``families`` is that of :meth:`SharedMetrics.sums`."""
    return [metric(family, series) for family, series in shared_metrics.sums(families)]


def process_metrics(shared_metrics: SharedMetrics, namespace: str) -> Collection[Metric]:
    """Return memory, processor time and open files of each process, as reported by the kernel.

    Args:
        shared_metrics: holds the process id of each worker.
        namespace: prefix of the metric names.

    Returns:
        Metrics with the label ``worker``, the slot number of the process.
    """
    by_name: dict[str, Metric] = {}
    for place, pid in shared_metrics.processes.items():
        for found in _OneProcess(namespace, partial(int, pid), registry=None).collect():
            whole = by_name.setdefault(found.name, Metric(found.name, found.documentation, found.type))
            whole.samples += [Sample(one.name, {"worker": str(place)}, one.value) for one in found.samples]
    return by_name.values()


def metric(family: MetricFamily, series: Iterable[tuple[Labels, Sequence[float]]]) -> Metric:
    """Convert a family and the cells of its series to a metric of ``prometheus_client``."""
    if family.kind is MetricKind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.label_names)
        bounds = [*map(str, family.bounds), "+Inf"]
        for labels, (*buckets, total) in series:
            # Cells count each bucket on its own. Prometheus expects cumulative buckets.
            histogram.add_metric(labels, list(zip(bounds, accumulate(buckets), strict=True)), total)
        return histogram
    kind = CounterMetricFamily if family.kind is MetricKind.COUNTER else GaugeMetricFamily
    numbers = kind(family.name, family.help, labels=family.label_names)
    for labels, (value,) in series:
        numbers.add_metric(labels, value)
    return numbers


def expose(metrics: Iterable[Metric], accept: str) -> tuple[str, bytes]:
    """Render metrics in the format that the client accepts.

    Args:
        metrics: the metrics of the page.
        accept: the client's ``Accept`` header, which may ask for OpenMetrics.

    Returns:
        The content type and the body.
    """
    encode, content_type = choose_encoder(accept)
    return content_type, encode(_Page(metrics))
