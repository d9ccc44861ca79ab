"""Serving process, built from the settings: the registry that clients see, and the background work."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from mirror.access.client import ClientViews
from mirror.access.rights import Rights
from mirror.admission.admission_metrics import decision_counter
from mirror.app import metrics
from mirror.app.access_control import (
    anonymous_rights,
    authenticating,
    connection_callers,
    forwarded_headers,
    operators,
)
from mirror.app.api_reports import ApiReports
from mirror.app.bucket.cold_reading import bucket_chores
from mirror.app.bundles.bundle_serving import ServedBundle
from mirror.app.configuration.configuration_state import ConfigurationHolder
from mirror.app.configuration.process_parts import SharedParts, shared_parts
from mirror.app.configuration.serving_plan import limits_of, opened_upstreams, scheduled_rules
from mirror.app.configuration.serving_series import series_of
from mirror.app.events.change_chores import change_chores
from mirror.app.mirroring import held_for_sync, sparing
from mirror.app.numbers.traffic import traffic_counter
from mirror.app.pull_through import PullingThrough, pulling_through
from mirror.app.services import Services
from mirror.app.storage.collecting import collection_rules
from mirror.app.storage.collection_metrics import CollectionMetrics
from mirror.app.storage.quota_wiring import quota_wrapper
from mirror.app.storage.readiness import WRITE_CHECKS, readiness_checks
from mirror.app.storage.upkeep_chores import Chore, upkeep_chores
from mirror.app.tls.certificate_keeping import certificate_chores
from mirror.app.tls.host_setup_wiring import host_setup_pages
from mirror.bundle.bundled_plugins import BundledPlugins
from mirror.filters.admission.held_for_pushers import HeldForPushers
from mirror.filters.authorize import Authorize
from mirror.filters.by_platform import PlatformViews
from mirror.filters.engine_gate import EngineViews
from mirror.filters.engine_tracking import EngineTracker, pull_counter
from mirror.filters.pull_tracking import PullTracker
from mirror.filters.read_only import ReadOnly, refuse_change
from mirror.plugin.policy.engine_vulnerabilities import Treatment
from mirror.proxy.pull_metrics import PullMetrics
from mirror.records.platform_rules import PlatformTags
from mirror.registry.port import Registry
from mirror.runtime import logs
from mirror.runtime.clock import SystemClock
from mirror.runtime.clock_jumps import ClockJumps
from mirror.runtime.metrics.metric_updates import UpdateGroup
from mirror.runtime.metrics.metrics_exposition import metric
from mirror.runtime.metrics.shared_metrics import SharedMetrics, WorkerSlot
from mirror.runtime.periodic_flush import flush_periodically
from mirror.runtime.worker_processes import ParentProcess
from mirror.server.api.admission_actions import admission_actions
from mirror.server.api.host_report import HostReport
from mirror.server.api.request_metrics import RequestMetrics
from mirror.server.http_application import Application, build
from mirror.server.refused_changes import RefusedChanges
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.sync.repository_run import RunContext
from mirror.sync.scheduler import RuleScheduler
from mirror.sync.sync_metrics import SyncMetrics
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.progress_reporting import SilentReporter
from mirror.upstream.registry import UpstreamRegistry
from mirror.upstream.upstream_metrics import UpstreamMetrics
from mirror.wire.pagination import PageRequest

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
# Listing no repositories is the cheapest request that needs the right to list them.
_NO_NAMES: Final = PageRequest(limit=0)


@dataclass(frozen=True, slots=True)
class Worker:
    """Start parameters of a serving process.

    Attributes:
        sockets: listening sockets: that of ``server.listen``, and of ``server.plain`` if it is configured.
        shared_metrics: shared memory in which all processes count.
        place: number of the process among all workers, from 0.
        parent: the parent process; None without a parent.
        private_state: folder of :func:`mirror.store.private_state.private_state` for a read-only server; else None.
        bundle: bundle that is served instead of the store; else None.
        configuration: holds the state of the configuration; None if nobody reloads it.
    """

    sockets: Sequence[socket.socket]
    shared_metrics: SharedMetrics
    place: int = 0
    parent: ParentProcess | None = None
    private_state: Path | None = None
    bundle: ServedBundle | None = None
    configuration: ConfigurationHolder | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """Work of a serving process with one configuration.

    Attributes:
        application: HTTP application.
        follow: background work that runs mirror rules when they are due. It is cancelled before the HTTP server stops.
        chores: background work that runs until another service takes over, or the HTTP server stops.
        flushes: background work that records what requests have done, and runs until the last request has ended.
        updates: functions that copy numbers of the service into the metrics.
    """

    application: Application
    follow: Chore
    chores: Sequence[Chore]
    flushes: Sequence[Chore]
    updates: UpdateGroup


@asynccontextmanager
async def build_service(
    settings: Settings, worker: Worker, lines: logs.LogLines, shared: SharedParts | None = None
) -> AsyncIterator[Service]:
    """Yield a service of a process, as configured.

    Args:
        settings: settings of the service.
        worker: start parameters of the process.
        lines: log of the process.
        shared: parts that the services of the process share; None if this is the only one.

    Raises:
        StorageFault: the store cannot be opened.
    """
    async with AsyncExitStack() as stack:
        slot = worker.shared_metrics.slot(worker.place)
        if shared is None:
            shared = await stack.enter_async_context(shared_parts(settings, slot, lines, worker.private_state))
        store, configuration = shared.store, worker.configuration or ConfigurationHolder.of(settings)
        services = Services(settings, store, stack, decision_counter(slot))
        upstreams = await services.upstreams(opened_upstreams(settings))
        traffic = traffic_counter(settings, store)
        outcomes = PullMetrics(slot, settings.upstreams, traffic.fetched)
        bundle = worker.bundle
        pulling = PullingThrough(store if bundle is None else bundle.registry)
        if bundle is None:
            pulling = await stack.enter_async_context(pulling_through(settings, store, upstreams, outcomes, _CLOCK))
            if not shared.has_service:  # a later service begins when it takes over, because it may be dropped before
                await pulling.begin()
        content = pulling.registry
        # Admit wraps pull-through for pushes, and the store for mirror rules. Withhold wraps only the registry that is
        # served, because mirror rules must see the plugins that they hold, admitted or not (ADR 16).
        checked = services.checked(content) if bundle is None else content
        plugins = None if bundle is None else BundledPlugins(bundle.reader)
        is_read_only = settings.server.read_only
        served: list[Registry] = [services.withheld(checked, plugins, shows_held=shown) for shown in (False, True)]
        pulls: list[PullTracker] = []
        if bundle is None and not is_read_only:
            pulls = [PullTracker(each, store.records.pulls.record_pulls, _CLOCK) for each in served]
        for_everybody, for_pushers = pulls or served
        within_quotas = quota_wrapper(settings, store, slot)

        def seen_by(rights: Rights, user: str | None = None) -> Registry:
            # Whoever may push a plugin may read it while it is held, to sign it.
            is_signer = user is not None and bool(pulls)
            visible = HeldForPushers(for_everybody, for_pushers, rights) if is_signer else for_everybody
            allowed = Authorize(within_quotas(visible, user), rights)
            # Outermost, so that every caller gets the reason, and no login is asked for in vain.
            return ReadOnly(allowed) if is_read_only else allowed

        # Pulls are tracked below authorization, so that only pulls that the caller may do are recorded.
        registry = seen_by(anonymous_rights(settings))
        authentication = await stack.enter_async_context(authenticating(settings, store, seen_by, slot))
        limits, activity = limits_of(settings), shared.activity.continued()
        collection = None if bundle else CollectionMetrics(store.records, collection_rules(settings).grace)
        reports = ApiReports(services, upstreams, _CLOCK, bundle, collection, traffic.flush)
        page = metrics.Metrics(
            worker.shared_metrics,
            series_of(settings),
            shared.updates,
            store=store,
            more=reports.metrics,
            always=lambda: [metric(family, series) for family, series in configuration.state.gauges()],
        ).page
        of_upstreams = UpstreamMetrics(upstreams, settings.server.workers).followed(slot, worker.place, upstreams)
        engines = _engines(settings, store, slot)
        application = build(
            registry,
            limits=limits,
            activity=activity,
            readiness=readiness_checks(store, bundle, is_read_only=is_read_only),
            write_checks=() if bundle is not None or is_read_only else WRITE_CHECKS,
            is_read_only=is_read_only,
            requests=RequestMetrics(slot, traffic.served),
            authentication=authentication,
            connections=connection_callers(settings, seen_by),
            metrics=page,
            namespaces=settings.server.namespaces,
            reports=reports.for_listing(lambda: registry.list_repositories(_NO_NAMES)),
            operators=operators(settings, store, authentication),
            operator_reports={
                "hosts": HostReport(engines.flush, store.records.hosts, settings.admission.engines.known()).give,
                "storage": reports.storage,
                "quotas": reports.quotas.give,
                "config": configuration.report,
            },
            actions=admission_actions(refuse_change if is_read_only else services.approvals.decide),
            views=_client_views(settings, engines),
            forwarded=forwarded_headers(settings),
            host_setup=host_setup_pages(settings, worker.sockets[0]),
            refusals=RefusedChanges(store.records.changes) if settings.keeps_changes and bundle is None else None,
        )
        is_changing = bundle is None and not is_read_only
        chores: list[Chore] = [
            *([pulling.begin] if shared.has_service else []),
            *pulling.chores,
            *certificate_chores(settings, worker.place),
            *(_admission_chores(services, worker, content) if pulls else []),
            *upkeep_chores(services, changes=is_changing),
            *(bucket_chores(store) if is_changing and not worker.place else []),
            *(change_chores(settings, store) if is_changing else []),
        ]
        flushes: list[Chore] = [
            partial(flush_periodically, engines.flush, "hosts that pull plugins"),
            partial(flush_periodically, traffic.flush, "traffic"),
            *(partial(flush_periodically, each.flush, "times of pulls") for each in pulls),
        ]
        rules = partial(_scheduler(services, upstreams, slot).run, scheduled_rules(settings))
        updates = [*metrics.request_updates(slot, activity), *of_upstreams]
        yield Service(application, rules, chores, flushes, updates)


def _admission_chores(services: Services, worker: Worker, content: Registry) -> list[Chore]:
    """Return the background work on admissions: one worker judges plugins again after their cooldown."""
    policy = services.policy
    if policy is None or policy.cooldown is None or worker.place:
        return []
    return [partial(services.matured(content).run, policy.cooldown)]


def _scheduler(services: Services, upstreams: Mapping[str, UpstreamRegistry], slot: WorkerSlot) -> RuleScheduler:
    store = services.store
    runs, derivations = store.records.sync_runs, store.records.derivations
    context = RunContext(
        runs,
        derivations,
        services.layers.of(store),
        _CLOCK,
        SilentReporter(),
        BlobLocks(store.downloads),
        rules=[section.rule() for section in services.settings.mirrors],
        jumps=ClockJumps(_CLOCK),
        hold=held_for_sync(store),
        absent=store.records.absent,
    )
    counted = SyncMetrics(slot, [section.name for section in services.settings.mirrors])
    sources = sparing(upstreams, store)
    return RuleScheduler(sources, services.checked(store), services.rule_locks, runs, context, counted.ran)


def _engines(settings: Settings, store: Store, slot: WorkerSlot) -> EngineTracker:
    engines = settings.admission.engines
    return EngineTracker(
        store.records.hosts.record_hosts,
        pull_counter(slot),
        _CLOCK,
        known=engines.known(),
        tells=engines.cve is not Treatment.ALLOW,
    )


def _client_views(settings: Settings, engines: EngineTracker) -> list[ClientViews]:
    platform_rules = [section.rule() for section in settings.platform_tags]
    # Without platform rules there is no view of them, so no pull has to consult one (ADR 17).
    by_platform: list[ClientViews] = [PlatformViews(PlatformTags(platform_rules))] if platform_rules else []
    return [*by_platform, EngineViews(engines, settings.admission.engines.cve)]
