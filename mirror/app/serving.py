"""``serve``: the registry, with all that goes on beside it."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from prometheus_client.metrics_core import Metric

from mirror.access.figures import LOGINS
from mirror.app import admission, metrics, platform_tags
from mirror.app.access import anyones_rights, authenticating
from mirror.app.metrics import Metrics
from mirror.app.pulling import pulling_through
from mirror.app.rule_reports import Mirroring, guarded
from mirror.app.stores import checked, open_store, rule_locks, withheld
from mirror.app.upstream_metrics import UpstreamFigures
from mirror.app.upstreams import open_sources
from mirror.filters.authorize import Authorize
from mirror.filters.layer_reading import LayerReading
from mirror.filters.pull_times import PullTimes
from mirror.oci.errors import MirrorError
from mirror.proxy.outcomes import Outcomes
from mirror.proxy.outcomes import families as pull_families
from mirror.runtime import logs, stopping
from mirror.runtime.clock import SystemClock
from mirror.runtime.metrics import Figures
from mirror.runtime.workers import run_workers
from mirror.server.application import build
from mirror.server.limits import Limits
from mirror.server.load import Load
from mirror.server.metrics import RequestFigures
from mirror.server.serve import listen, serving
from mirror.settings import Settings
from mirror.settings.listen import Listen
from mirror.store.registry import Store
from mirror.sync.desk import Desk
from mirror.sync.figures import RuleFigures, families
from mirror.sync.follow import Follower
from mirror.sync.rule import MirrorRule
from mirror.transfer.concurrency import Turns
from mirror.transfer.progress import SilentReporter
from mirror.wire.pagination import PageRequest

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
_EXPIRY_PERIOD_SECONDS: Final = 600.0
_NO_NAMES: Final = PageRequest(limit=0)


def serve(settings: Settings) -> int:
    """Serve the registry until SIGTERM or SIGINT.

    Returns:
        The exit code.

    Raises:
        ConfigurationFault: the address cannot be had. StorageFault: the store cannot be opened.
    """
    address = settings.server.listen
    listener = listen(address.host, address.port, _limits(settings))
    workers = settings.server.workers
    figures = Figures(
        (
            *metrics.FAMILIES,
            LOGINS,
            admission.DECISIONS,
            *families(rule.name for rule in settings.mirrors),
            *pull_families(settings.upstreams),
            *UpstreamFigures(_opened(settings), workers).families,
        ),
        workers,
    )
    _allow_connections()
    _spare_the_collector()
    if workers == 1:
        _serve_here(settings, _Worker(listener, figures))
        return 0
    asyncio.run(_open_and_close(settings))  # what is wrong with it is said once, not by every worker again and again
    return run_workers(
        workers, lambda place, parent: _serve_here(settings, _Worker(listener, figures, place, parent)), listener.close
    )


async def _open_and_close(settings: Settings) -> None:
    async with open_store(settings):
        pass


def _allow_connections() -> None:
    """Let this process have as many files open as it may ever: shells and systemd begin with 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _spare_the_collector() -> None:
    """Keep what was imported, and is never freed, out of its sight: a whole collection stops everything for 80 ms."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True, slots=True)
class _Worker:
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


def _serve_here(settings: Settings, worker: _Worker) -> None:
    with logs.configured(settings.log.level, settings.log.format) as lines:
        asyncio.run(_serve(settings, worker, lines))


async def _serve(settings: Settings, worker: _Worker, lines: logs.Lines) -> None:
    async with open_store(settings) as store, AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        rules = [section.rule() for section in settings.mirrors]
        scheduled = _scheduled(settings)
        sources = await stack.enter_async_context(open_sources(settings, _opened(settings)))
        limits = _limits(settings)
        load, share = Load.within(limits), worker.figures.share(worker.place)
        outcomes = Outcomes(share, settings.upstreams)
        held = await stack.enter_async_context(pulling_through(settings, store, sources, outcomes, _CLOCK))
        count = admission.counting(share)
        destination, locks = checked(store, store, settings, count), rule_locks(settings)
        served = withheld(checked(held, store, settings, count), store, settings, count)
        pulls = PullTimes(served, store.record_pulls, _CLOCK) if _asks_for_pulls(rules) else None
        seen_by = partial(Authorize, pulls or served)
        registry = seen_by(anyones_rights(settings))
        authentication = await stack.enter_async_context(authenticating(settings, store, seen_by, share))
        urls = {name: section.url for name, section in settings.upstreams.items()}
        mirroring = Mirroring(rules, urls, sources, store, locks, _CLOCK)

        async def more() -> list[Metric]:
            return await mirroring.metrics() + (await admission.standing(store) if settings.admission.is_on else [])

        async def may_look() -> None:
            await registry.list_repositories(_NO_NAMES)

        asked = UpstreamFigures(sources, settings.server.workers).followed(share, worker.place, sources)
        watch = Metrics(worker.figures, share, asked, store=store, load=load, lines=lines, more=more)
        application = build(
            registry,
            limits=limits,
            load=load,
            readiness={
                "store": store.probe_volume,
                "space": lambda: store.require_room(settings.storage.least_free_bytes),
                "catalog": store.probe_catalog,
            },
            requests=RequestFigures(share),
            authentication=authentication,
            metrics=watch.page,
            namespaces=settings.server.namespaces,
            reports={
                "mirrors": guarded(mirroring.mirrors, may_look),
                "upstreams": guarded(mirroring.upstream_list, may_look),
                "admission": guarded(partial(admission.report, store), may_look),
                "platform-tags": guarded(partial(platform_tags.report, settings, store), may_look),
            },
            acts=admission.acts(settings, store),
            faces=platform_tags.faces(settings),
        )
        desk = Desk(store, store, LayerReading(store), _CLOCK, SilentReporter(), Turns(store))
        counted = RuleFigures(share, [rule.name for rule in rules])
        follower = Follower(sources, destination, locks, store, desk, counted.ran)
        following = tasks.create_task(follower.follow(scheduled))
        noting = tasks.create_task(pulls.keep_up()) if pulls else None
        keeping_up = tasks.create_task(watch.keep_up())
        expiry = tasks.create_task(_expire_uploads(store, timedelta(hours=settings.storage.upload_expiry_hours)))
        with stopping.requested(worker.parent) as stop:
            async with serving(application, worker.listener):
                _announce(settings, worker.listener)
                await stop.wait()
                _LOG.info("stopping", transfers_may_take_seconds=limits.shutdown_seconds)
                following.cancel()
        if noting is not None:
            noting.cancel()
        expiry.cancel()
        keeping_up.cancel()


def _scheduled(settings: Settings) -> list[MirrorRule]:
    """The rules that are followed; without those that could only fail, because that is wanted."""
    rules = [section.rule() for section in settings.mirrors]
    offline = {name for name, section in settings.upstreams.items() if settings.offline or section.offline}
    return [rule for rule in rules if rule.schedule is not None and rule.source not in offline]


def _opened(settings: Settings) -> list[str]:
    """Names of the upstreams that a worker may have to ask."""
    return sorted({rule.source for rule in _scheduled(settings)} | {section.upstream for section in settings.proxy})


def _asks_for_pulls(rules: Iterable[MirrorRule]) -> bool:
    return any(rule.retention is not None and rule.retention.pulled_within is not None for rule in rules)


def _limits(settings: Settings) -> Limits:
    return Limits(**settings.server.limits.model_dump(), shutdown_seconds=settings.server.shutdown_seconds)


def _announce(settings: Settings, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    _LOG.info(
        "listening",
        url=f"http://{Listen(settings.server.listen.host, port)}",
        data=str(settings.storage.path),
        anonymous=sorted(action.value for action in settings.server.anonymous_actions),
    )


async def _expire_uploads(store: Store, age: timedelta) -> None:
    while True:
        try:
            removed = await store.expire_uploads(age)
        except MirrorError as error:
            _LOG.error("uploads could not be expired", error=str(error), **error.detail)
        else:
            if removed:
                _LOG.info("uploads expired", count=removed)
        await asyncio.sleep(_EXPIRY_PERIOD_SECONDS)
