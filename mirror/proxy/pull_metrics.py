"""Outcomes of pulls, counted in shared memory and logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

import structlog

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import MirrorError, reasons
from mirror.runtime.metrics.shared_metrics import MetricFamily, MetricKind, WorkerSlot

_LOG = structlog.get_logger(__name__)


class PullOutcome(StrEnum):
    """Outcome of a request for a manifest or blob in a pulled-through repository."""

    SERVED = "served"
    REVALIDATED = "revalidated"
    MOVED = "moved"
    FETCHED = "fetched"
    STALE = "stale"
    MISSED = "missed"
    FAILED = "failed"


# A blob is immutable, so it is never revalidated and never stale.
_OF_BLOBS: Final = (PullOutcome.SERVED, PullOutcome.FETCHED, PullOutcome.MISSED, PullOutcome.FAILED)

_PULLS: Final = MetricFamily(
    "plugin_mirror_pulls_total",
    "Requests for manifests and blobs in repositories of proxy rules, by kind (manifest, blob) and outcome.",
    MetricKind.COUNTER,
    ("kind", "outcome"),
    [("manifest", outcome.value) for outcome in PullOutcome] + [("blob", outcome.value) for outcome in _OF_BLOBS],
)


def _failures(upstreams: Iterable[str]) -> MetricFamily:
    return MetricFamily(
        "plugin_mirror_pull_failures_total",
        "Failed requests of the pull-through proxy to an upstream, by reason; protocol_error: an invalid answer.",
        MetricKind.COUNTER,
        ("upstream", "reason"),
        [(name, reason) for name in upstreams for reason in reasons(MirrorError)],
    )


def _received(upstreams: Iterable[str]) -> MetricFamily:
    return MetricFamily(
        "plugin_mirror_pull_received_bytes_total",
        "Bytes of blobs that the pull-through proxy received from an upstream.",
        MetricKind.COUNTER,
        ("upstream",),
        [(name,) for name in upstreams],
    )


def families(upstreams: Iterable[str]) -> tuple[MetricFamily, ...]:
    """Return the metrics of pulls from the named upstreams."""
    names = tuple(upstreams)
    return _PULLS, _failures(names), _received(names)


class PullMetrics:
    """Counts and logs outcomes of pulls.

    Args:
        slot: shared memory of a worker that has the :func:`families` of ``upstreams``.
        upstreams: names of the upstreams.
        fetched: receives the upstream, the local repository and the number of bytes that an upstream sent.
    """

    def __init__(
        self,
        slot: WorkerSlot,
        upstreams: Iterable[str],
        fetched: Callable[[str, Repository, int], None] = lambda _upstream, _repository, _size_bytes: None,
    ) -> None:
        self._fetched = fetched
        self._counters = {
            (family.name, labels): slot.counter(family, *labels)
            for family in families(upstreams)
            for labels in family.series
        }

    def manifest(self, outcome: PullOutcome) -> None:
        """Count a request for a manifest."""
        self._add("pulls", "manifest", outcome.value)

    def blob(self, outcome: PullOutcome) -> None:
        """Count a request for a blob."""
        self._add("pulls", "blob", outcome.value)

    def received(self, upstream: str, repository: Repository, size_bytes: int) -> None:
        """Count bytes of a blob received from an upstream for a local repository."""
        self._add("pull_received_bytes", upstream, amount=size_bytes)
        self._fetched(upstream, repository, size_bytes)

    def failed(self, upstream: str, error: MirrorError) -> None:
        """Count and log a failed request to an upstream."""
        self._add("pull_failures", upstream, error.reason)
        _LOG.warning("upstream failed", upstream=upstream, reason=error.reason, error=str(error))

    def moved(self, repository: Repository, tag: Tag, upstream: str, before: Digest, after: Digest) -> None:
        """Log that a tag at an upstream points to another manifest than the tag in the store."""
        fields = {"name": str(repository), "tag": str(tag), "before": str(before), "after": str(after)}
        _LOG.info("tag moved by pull-through", upstream=upstream, **fields)

    def _add(self, what: str, *labels: str, amount: float = 1) -> None:
        self._counters[f"plugin_mirror_{what}_total", labels].add(amount)
