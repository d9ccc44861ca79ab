"""One process that serves, put together: the registry that clients see, and what goes on beside it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeAlias

import structlog
from prometheus_client.metrics_core import Metric

from mirror.app import admission, platform_tags
from mirror.app.access import anyones_rights, authenticating, front_of, operators
from mirror.app.engines import Engines
from mirror.app.metrics import Metrics
from mirror.app.pulling import pulling_through
from mirror.app.rule_reports import Mirroring, guarded
from mirror.app.stores import checked, layer_reading, open_store, rule_locks, withheld
from mirror.app.upstream_metrics import UpstreamFigures
from mirror.app.upstreams import open_sources
from mirror.filters.authorize import Authorize
from mirror.filters.layer_reading import LayerReading
from mirror.filters.pull_times import PullTimes
from mirror.oci.errors import MirrorError
from mirror.plugin.policy import Action
from mirror.proxy.outcomes import Outcomes
from mirror.runtime import logs
from mirror.runtime.clock import SystemClock
from mirror.runtime.metrics import Figures, Share
from mirror.server.application import Application, build
from mirror.server.health import Check
from mirror.server.limits import Limits
from mirror.server.load import Load
from mirror.server.metrics import RequestFigures
from mirror.server.reports import Report
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.sync.repository_run import RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.scheduler import RuleScheduler
from mirror.sync.sync_metrics import SyncMetrics
from mirror.transfer.concurrency import Turns
from mirror.transfer.progress import SilentReporter
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.pagination import PageRequest

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
_EXPIRY_PERIOD_SECONDS: Final = 600.0
_NO_NAMES: Final = PageRequest(limit=0)

#: Something that goes on until it is cancelled.
Chore: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Worker:
    """What a process that serves is given.

    Attributes:
        listener: where clients come in.
        figures: where all processes count.
        place: which of them it is.
        parent: a file descriptor that becomes readable when there is no parent any more; None: there is none.
    """

    listener: socket.socket
    figures: Figures
    place: int = 0
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """What such a process does.

    Attributes:
        application: answers clients.
        follow: follows the mirror rules; it ends before the answers do.
        chores: what else goes on, as long as there are answers.
    """

    application: Application
    follow: Chore
    chores: Sequence[Chore]


@asynccontextmanager
async def put_together(settings: Settings, worker: Worker, lines: logs.Lines) -> AsyncIterator[Service]:
    """The service of a process, as the settings want it.

    Args:
        settings: all of them.
        worker: which process it is.
        lines: its log.

    Raises:
        StorageFault: the store cannot be opened.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings))
        sources = await stack.enter_async_context(open_sources(settings, opened_upstreams(settings)))
        limits, share = limits_of(settings), worker.figures.share(worker.place)
        load, count = Load.within(limits), admission.counting(share)
        outcomes = Outcomes(share, settings.upstreams)
        held = await stack.enter_async_context(pulling_through(settings, store, sources, outcomes, _CLOCK))
        layers = layer_reading(settings)
        served = withheld(checked(held, store, settings, layers, count), store, settings, layers, count)
        pulls = PullTimes(served, store.record_pulls, _CLOCK) if _asks_for_pulls(settings) else None
        seen_by = partial(Authorize, pulls or served)
        registry = seen_by(anyones_rights(settings))
        mirroring = _mirroring(settings, sources, store)
        engines = Engines(settings, store, share, _CLOCK)
        authentication = await stack.enter_async_context(authenticating(settings, store, seen_by, share))
        watch = Metrics(
            worker.figures,
            share,
            UpstreamFigures(sources, settings.server.workers).followed(share, worker.place, sources),
            store=store,
            load=load,
            lines=lines,
            more=partial(_more_metrics, settings, mirroring, store),
        )
        application = build(
            registry,
            limits=limits,
            load=load,
            readiness=_readiness(settings, store),
            requests=RequestFigures(share),
            authentication=authentication,
            metrics=watch.page,
            namespaces=settings.server.namespaces,
            reports=_reports(settings, store, mirroring, lambda: registry.list_repositories(_NO_NAMES)),
            operators=operators(settings, store, authentication, admission.word(settings)),
            operator_reports={"hosts": engines.report},
            acts=admission.acts(settings, store, layers),
            faces=[*platform_tags.faces(settings), engines.faces],
            front=front_of(settings),
        )
        expiring = partial(
            _expire_uploads,
            store,
            timedelta(hours=settings.storage.upload_expiry_hours),
            timedelta(minutes=settings.storage.empty_upload_expiry_minutes),
        )
        chores: list[Chore] = [watch.keep_up, expiring, engines.keep_up, *([pulls.keep_up] if pulls else [])]
        scheduler = _scheduler(settings, store, sources, share, layers=layers, count=count)
        yield Service(application, partial(scheduler.run, scheduled_rules(settings)), chores)


def _scheduler(
    settings: Settings,
    store: Store,
    sources: Mapping[str, UpstreamRegistry],
    share: Share,
    *,
    layers: LayerReading,
    count: Callable[[Action], None],
) -> RuleScheduler:
    context = RunContext(store, store, layers.of(store), _CLOCK, SilentReporter(), Turns(store))
    counted = SyncMetrics(share, [section.name for section in settings.mirrors])
    destination = checked(store, store, settings, layers, count)
    return RuleScheduler(sources, destination, rule_locks(settings), store, context, counted.ran)


def _mirroring(settings: Settings, sources: Mapping[str, UpstreamRegistry], store: Store) -> Mirroring:
    rules = [section.rule() for section in settings.mirrors]
    urls = {name: section.url for name, section in settings.upstreams.items()}
    return Mirroring(rules, urls, sources, store, rule_locks(settings), _CLOCK)


def _readiness(settings: Settings, store: Store) -> Mapping[str, Check]:
    return {
        "store": store.probe_volume,
        "space": lambda: store.require_room(settings.storage.least_free_bytes),
        "catalog": store.probe_catalog,
    }


def _reports(
    settings: Settings, store: Store, mirroring: Mirroring, may_look: Callable[[], Awaitable[object]]
) -> Mapping[str, Report]:
    reports: dict[str, Report] = {
        "mirrors": mirroring.mirrors,
        "upstreams": mirroring.upstream_list,
        "admission": admission.AdmissionReport(settings, store).give,
        "platform-tags": partial(platform_tags.report, settings, store),
    }
    return {name: guarded(report, may_look) for name, report in reports.items()}


async def _more_metrics(settings: Settings, mirroring: Mirroring, store: Store) -> list[Metric]:
    return await mirroring.metrics() + (await admission.standing(settings, store) if settings.admission.is_on else [])


def scheduled_rules(settings: Settings) -> list[MirrorRule]:
    """The rules that are followed; without those that could only fail, because that is wanted."""
    rules = [section.rule() for section in settings.mirrors]
    offline = {name for name, section in settings.upstreams.items() if settings.offline or section.offline}
    return [rule for rule in rules if rule.schedule is not None and rule.source not in offline]


def opened_upstreams(settings: Settings) -> list[str]:
    """Names of the upstreams that a worker may have to ask."""
    return sorted(
        {rule.source for rule in scheduled_rules(settings)} | {section.upstream for section in settings.proxy}
    )


def limits_of(settings: Settings) -> Limits:
    """What clients may ask of the server."""
    return Limits(**settings.server.limits.of_clients(), shutdown_seconds=settings.server.shutdown_seconds)


def _asks_for_pulls(settings: Settings) -> bool:
    rules = [section.rule() for section in settings.mirrors]
    return any(rule.retention is not None and rule.retention.pulled_within is not None for rule in rules)


async def _expire_uploads(store: Store, age: timedelta, empty_age: timedelta) -> None:
    while True:
        try:
            removed = await store.expire_uploads(age, empty_age)
        except MirrorError as error:
            _LOG.error("uploads could not be expired", error=str(error), **error.detail)
        else:
            if removed:
                _LOG.info("uploads expired", count=removed)
        await asyncio.sleep(_EXPIRY_PERIOD_SECONDS)
