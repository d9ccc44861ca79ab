"""Reports of a serving process: ``GET /api/v1/…``, and metrics that are read from the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

from prometheus_client.metrics_core import Metric

from mirror.access.certificates.certificate_metrics import CertificateExpiries
from mirror.admission.admission_metrics import STANDING, standing_series
from mirror.app.bundles.bundle_serving import ServedBundle
from mirror.app.bundles.bundle_streams import stream_statuses
from mirror.app.numbers.storage_report import storage_report
from mirror.app.services import Services
from mirror.app.storage.collection_metrics import CollectionMetrics
from mirror.app.storage.integrity.scrubbing import scrub_report
from mirror.app.storage.quota_wiring import QuotaReport, quota_rules
from mirror.bundle.stream_metrics import stream_gauges
from mirror.bundle.stream_status import StreamStatus
from mirror.events.audit_writer import READER
from mirror.events.change_metrics import audit_gauge, event_gauges
from mirror.lifecycle.backup_metrics import backup_gauges
from mirror.lifecycle.budget_metrics import budget_series
from mirror.lifecycle.scrub_report import scrub_metrics
from mirror.runtime.clock import Clock
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.runtime.concurrency.threads import in_thread
from mirror.runtime.metrics.metrics_exposition import metric
from mirror.server.api.admission_report import AdmissionReport
from mirror.server.api.platform_tag_report import PlatformTagReport
from mirror.server.api.reports import Report, guarded
from mirror.sync.rule_status import RuleStatus, rule_statuses, upstream_usage
from mirror.sync.sync_metrics import rule_gauges
from mirror.upstream.registry import UpstreamRegistry


@dataclass(frozen=True)
class ApiReports:
    """Reports on mirror rules, upstreams, plugins and tags.

    Attributes:
        services: services of the process.
        upstreams: open upstreams by name.
        clock: source of the current time.
        bundle: bundle that is served instead of the store; None for the store.
        collection: metrics of the collection; None if the store is not served.
        flush: records the traffic noted by this process. That of other processes may appear up to a minute late.
    """

    services: Services
    upstreams: Mapping[str, UpstreamRegistry]
    clock: Clock
    bundle: ServedBundle | None = None
    collection: CollectionMetrics | None = None
    flush: Callable[[], Awaitable[None]] | None = None
    _shared: SharedTasks[str, Mapping[str, object]] = field(default_factory=SharedTasks, init=False)

    def for_listing(self, may_list: Callable[[], Awaitable[object]]) -> Mapping[str, Report]:
        """Return the reports for callers who may list repositories, by name.

        Args:
            may_list: function that raises if the caller may not list repositories.
        """
        settings, store = self.services.settings, self.services.store
        platform_rules = [section.rule() for section in settings.platform_tags]
        listed = partial(store.records.admissions.admissions, policy=self.services.policy_id)
        reports: dict[str, Report] = {
            "mirrors": self.mirrors,
            "bundles": self.bundles,
            "upstreams": self.upstream_list,
            "pins": self.pins,
            "admission": AdmissionReport(store.records.verdicts, listed).give,
            "platform-tags": PlatformTagReport(
                platform_rules, store if self.bundle is None else self.bundle.reader
            ).give,
        }
        return {name: guarded(report, may_list) for name, report in reports.items()}

    async def storage(self) -> Mapping[str, object]:
        """Return the report ``/api/v1/storage``. Concurrent callers share one, because it reads whole indexes."""
        return await self._shared.run("storage", self._storage)

    async def _storage(self) -> Mapping[str, object]:
        if self.flush is not None:
            await self.flush()
        return await storage_report(self.services)

    @cached_property
    def quotas(self) -> QuotaReport:
        """Report ``/api/v1/quotas``."""
        return QuotaReport(self.services.store.records.quotas, quota_rules(self.services.settings))

    @cached_property
    def _expiries(self) -> CertificateExpiries | None:
        tls = self.services.settings.server.tls
        return None if tls is None else CertificateExpiries(tls)

    async def mirrors(self) -> Mapping[str, object]:
        """Return the report ``/api/v1/mirrors``."""
        return {"mirrors": [state.to_json() for state in await self._states()]}

    async def bundles(self) -> Mapping[str, object]:
        """Return the report ``/api/v1/bundles``."""
        return {"bundles": [status.to_json() for status in await self._streams()]}

    async def pins(self) -> Mapping[str, object]:
        """Return the report ``/api/v1/pins``."""
        return {"pins": [pin.to_json() for pin in await self.services.store.records.pins.pins()]}

    async def upstream_list(self) -> Mapping[str, object]:
        """Return the report ``/api/v1/upstreams``. The counts under ``now`` are those of this process only."""
        states = await self._states()
        return {
            "upstreams": [
                {
                    "name": name,
                    "url": section.url,
                    **upstream_usage(name, states),
                    # A worker opens only the upstreams that proxy rules and scheduled rules use.
                    "now": self.upstreams[name].stats().to_json() if name in self.upstreams else None,
                }
                for name, section in sorted(self.services.settings.upstreams.items())
            ]
        }

    async def metrics(self) -> list[Metric]:
        """Return the metrics of mirror rules, bundles, plugin admissions, certificates, and the upkeep of storage."""
        scrubs = scrub_metrics(await scrub_report(self.services.store))
        backups = backup_gauges(await self.services.store.records.backups.last_backup())
        gauges = [*rule_gauges(await self._states()), *stream_gauges(await self._streams()), *scrubs, *backups]
        if self.services.settings.proxy:
            record = await self.services.store.records.pulled_contents.record()
            gauges += budget_series(record, self.services.settings.pull_through.keep.limits())
        found = [metric(family, series) for family, series in gauges]
        if self.collection is not None:
            found += await self.collection.read()
        found += await self.quotas.metrics()
        if self._expiries is not None:
            found.append(metric(*await in_thread(self._expiries.read)))
        found += await self._changes()
        # Counted only with a policy: without one, no verdicts are stored.
        if self.services.settings.admission.is_on:
            counts = await self.services.store.records.admissions.count_admissions(self.services.policy_id)
            found.append(metric(STANDING, standing_series(counts)))
        return found

    async def _changes(self) -> list[Metric]:
        settings, records = self.services.settings, self.services.store.records
        if self.bundle is not None or settings.server.read_only:
            return []
        gauges, now = [], self.clock.now()
        if settings.audit.enabled:
            gauges.append(audit_gauge(await records.changes.oldest(READER), now))
        if settings.events:
            names = [each.shown_name for each in settings.events]
            gauges += event_gauges(names, await records.deliveries.counts(), now)
        return [metric(family, series) for family, series in gauges]

    async def _states(self) -> list[RuleStatus]:
        rules = [section.rule() for section in self.services.settings.mirrors]
        runs = self.services.store.records.sync_runs
        return await rule_statuses(rules, runs, self.services.rule_locks.is_held, self.clock.now())

    async def _streams(self) -> list[StreamStatus]:
        settings = self.services.settings
        if self.bundle is not None:
            return [self.bundle.status(self.clock.now(), settings.bundles.limits())]
        return await stream_statuses(settings, self.services.store, self.clock.now())
