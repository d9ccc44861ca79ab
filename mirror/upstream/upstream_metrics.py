"""Metrics of upstreams for ``/metrics``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from mirror.oci.errors import UpstreamFault, reasons
from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind, WorkerSlot
from mirror.upstream.http.upstream_stats import UpstreamStats
from mirror.upstream.limits.circuit_breaker import BreakerState
from mirror.upstream.registry import UpstreamRegistry

_REASONS: Final = reasons(UpstreamFault)
_HEAD_KINDS: Final = ("manifest", "blob")

Read = Callable[[UpstreamStats], float]

_COUNTED: Final[Mapping[str, tuple[str, Read]]] = {
    "requests": (
        "HTTP requests sent to an upstream, followed redirects and token requests included.",
        lambda stats: stats.requests,
    ),
    "received_bytes": ("Bytes of HTTP response bodies received from an upstream.", lambda stats: stats.received_bytes),
    "tokens": ("Bearer tokens obtained for an upstream.", lambda stats: stats.tokens),
    "throttle_wait_seconds": (
        "Seconds that requests and transfers waited for the rate limits of an upstream, configured or its own.",
        lambda stats: stats.paced_seconds,
    ),
}
_HEARD: Final[Mapping[str, tuple[str, Read]]] = {
    "quota_limit": (
        "Requests that an upstream allows in its rate limit window, as last reported to a worker; NaN: never.",
        lambda stats: stats.quota.limit if stats.quota else math.nan,
    ),
    "quota_remaining": (
        "Requests left in the rate limit window of an upstream, as last reported to a worker; NaN: never.",
        lambda stats: stats.quota.remaining if stats.quota else math.nan,
    ),
}


class UpstreamMetrics:
    """The metrics of all upstreams.

    Args:
        upstreams: names of the upstreams.
        workers: number of worker processes.
    """

    def __init__(self, upstreams: Iterable[str], workers: int) -> None:
        names = list(upstreams)
        each: list[Labels] = [(name,) for name in names]
        of_workers: list[Labels] = [(name, str(worker)) for name in names for worker in range(workers)]
        self._counted = {
            what: _family(f"{what}_total", explanation, MetricKind.COUNTER, ("upstream",), each)
            for what, (explanation, _) in _COUNTED.items()
        }
        # Quota reports are not summed. Each worker receives its own reports, so each worker has its own series.
        self._heard = {
            what: _family(what, explanation, MetricKind.GAUGE, ("upstream", "worker"), of_workers)
            for what, (explanation, _) in _HEARD.items()
        }
        self._failures = _family(
            "failures_total",
            "Failed requests to an upstream, by reason; protocol_error: an invalid answer, such as a wrong digest.",
            MetricKind.COUNTER,
            ("upstream", "reason"),
            [(name, reason) for name in names for reason in _REASONS],
        )
        self._head_fallbacks = _family(
            "head_fallbacks_total",
            "GET requests sent in place of HEAD, because an upstream does not support HEAD, by kind of content.",
            MetricKind.COUNTER,
            ("upstream", "kind"),
            [(name, kind) for name in names for kind in _HEAD_KINDS],
        )
        self._resting = _family(
            "hosts_circuit_open",
            "Hosts of an upstream that are not asked because their circuit breaker is open, summed over the workers.",
            MetricKind.GAUGE,
            ("upstream",),
            each,
        )

    @property
    def families(self) -> tuple[MetricFamily, ...]:
        """All metrics of upstreams."""
        return (*self._counted.values(), *self._heard.values(), self._failures, self._head_fallbacks, self._resting)

    def followed(
        self, slot: WorkerSlot, worker: int, upstreams: Mapping[str, UpstreamRegistry]
    ) -> Iterator[Callable[[], None]]:
        """Yield functions that copy the numbers of this process's upstreams into the metrics. To be called regularly.

        Args:
            slot: cells of this process, which include :attr:`families`.
            worker: slot number of this process.
            upstreams: the open upstreams, by name.
        """
        for name, upstream in upstreams.items():
            for what, (_, read) in _COUNTED.items():
                yield slot.follow(self._counted[what], partial(_read, upstream, read), name)
            for what, (_, read) in _HEARD.items():
                yield slot.follow(self._heard[what], partial(_read, upstream, read), name, str(worker))
            for reason in _REASONS:
                yield slot.follow(self._failures, partial(_failed, upstream, reason), name, reason)
            for kind in _HEAD_KINDS:
                yield slot.follow(self._head_fallbacks, partial(_fallen_back, upstream, kind), name, kind)
            yield slot.follow(self._resting, partial(_read, upstream, _count_resting), name)


def _family(name: str, explanation: str, kind: MetricKind, labels: Labels, series: Sequence[Labels]) -> MetricFamily:
    return MetricFamily(f"plugin_mirror_upstream_{name}", explanation, kind, labels, series)


def _read(upstream: UpstreamRegistry, read: Read) -> float:
    return read(upstream.stats())


def _failed(upstream: UpstreamRegistry, reason: str) -> float:
    return upstream.stats().failures.get(reason, 0)


def _fallen_back(upstream: UpstreamRegistry, kind: str) -> float:
    return upstream.stats().head_fallbacks.get(kind, 0)


def _count_resting(stats: UpstreamStats) -> float:
    return sum(host.breaker is BreakerState.OPEN for host in stats.hosts)
