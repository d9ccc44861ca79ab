"""Metrics of the bucket and of its cache, for servers with ``storage.blobs``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from mirror.runtime.metrics.metric_updates import UpdateGroup
from mirror.runtime.metrics.shared_metrics import MetricFamily, MetricKind, WorkerSlot
from mirror.store.bucket.bucket_counts import FAILURES, OPERATIONS, BucketCounts

if TYPE_CHECKING:
    from mirror.store.bucket.cache_budget import CacheBudget
    from mirror.store.registry import Store


def _counter(name: str, explanation: str) -> MetricFamily:
    return MetricFamily(f"plugin_mirror_{name}_total", explanation, MetricKind.COUNTER)


_REQUESTS: Final = MetricFamily(
    "plugin_mirror_bucket_requests_total",
    "Requests to the bucket by operation (put, get, head, delete, list). All parts of an object are one.",
    MetricKind.COUNTER,
    ("operation",),
    [(operation,) for operation in OPERATIONS],
)
_FAILURES: Final = MetricFamily(
    "plugin_mirror_bucket_failures_total",
    "Failed requests to the bucket by reason (bucket_unreachable, and bucket for refusals).",
    MetricKind.COUNTER,
    ("reason",),
    [(reason,) for reason in FAILURES],
)
_SENT: Final = _counter("bucket_sent_bytes", "Bytes of objects written to the bucket.")
_RECEIVED: Final = _counter("bucket_received_bytes", "Bytes of objects read from the bucket.")
_CACHED: Final = MetricFamily(
    "plugin_mirror_bucket_cache_bytes",
    "Bytes of content in the data folder as the cache of the bucket, at the last look.",
    MetricKind.GAUGE,
)
_EVICTED_FILES: Final = _counter("bucket_cache_evicted_files", "Files evicted from the cache of the bucket.")
_EVICTED_BYTES: Final = _counter("bucket_cache_evicted_bytes", "Bytes of these files.")
BUCKET_FAMILIES: Final = (_REQUESTS, _FAILURES, _SENT, _RECEIVED, _CACHED, _EVICTED_FILES, _EVICTED_BYTES)


def bucket_updates(slot: WorkerSlot, store: Store) -> UpdateGroup:
    """Return the functions that copy the numbers of a process; none without a bucket."""
    objects, budget = store.objects, store.cache_budget
    if objects is None or budget is None:
        return []
    counts = objects.bucket.counts
    return [
        *(slot.follow(_REQUESTS, partial(_requests, counts, each), each) for each in OPERATIONS),
        *(slot.follow(_FAILURES, partial(_failures, counts, each), each) for each in FAILURES),
        slot.follow(_SENT, lambda: counts.sent_bytes),
        slot.follow(_RECEIVED, lambda: counts.received_bytes),
        slot.follow(_EVICTED_FILES, lambda: budget.evicted_files),
        slot.follow(_EVICTED_BYTES, lambda: budget.evicted_bytes),
        slot.follow(_CACHED, partial(_cached, budget)),
    ]


def _requests(counts: BucketCounts, operation: str) -> float:
    return counts.requests[operation]


def _failures(counts: BucketCounts, reason: str) -> float:
    return counts.failures[reason]


def _cached(budget: CacheBudget) -> float:
    return budget.used_bytes
