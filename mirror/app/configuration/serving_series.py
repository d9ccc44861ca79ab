"""Metrics that serving processes count in shared memory, according to the settings."""

from __future__ import annotations

from mirror.access.issuer.issuer_metrics import KEY_FETCHES
from mirror.access.login_metrics import LOGINS
from mirror.admission.admission_metrics import DECISIONS
from mirror.app import metrics
from mirror.app.bucket.bucket_metrics import BUCKET_FAMILIES
from mirror.app.configuration.serving_plan import opened_upstreams
from mirror.app.storage.quota_wiring import metrics_of_quotas
from mirror.filters.engine_tracking import PULLS
from mirror.proxy.pull_metrics import families as pull_families
from mirror.runtime.metrics.shared_metrics import MetricFamily, SharedMetrics
from mirror.settings import Settings
from mirror.sync.sync_metrics import families as rule_families
from mirror.upstream.upstream_metrics import UpstreamMetrics


def series_of(settings: Settings) -> tuple[MetricFamily, ...]:
    """Return the metrics with all series that the settings need."""
    return (
        *metrics.FAMILIES,
        LOGINS,
        KEY_FETCHES,
        DECISIONS,
        PULLS,
        *rule_families(rule.name for rule in settings.mirrors),
        *pull_families(settings.upstreams),
        *metrics_of_quotas(settings),
        *(() if settings.storage.blobs is None else BUCKET_FAMILIES),
        *UpstreamMetrics(opened_upstreams(settings), settings.server.workers).families,
    )


def allocate_shared_metrics(settings: Settings) -> SharedMetrics:
    """Allocate the shared memory in which all serving processes count. Call this before the workers are forked."""
    # All processes must agree on the place of each series. A reload adds series at the end (ADR 8).
    return SharedMetrics(series_of(settings), settings.server.workers)
