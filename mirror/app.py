"""The composition root: settings become an object graph here, and nothing else knows concrete classes."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from yarl import URL

from mirror import metrics
from mirror.filters.authorize import AnonymousRights, Authorize
from mirror.filters.plugin_checks import PluginChecks
from mirror.filters.pull_times import PullTimes
from mirror.metrics import Metrics
from mirror.mirroring import Mirroring, chosen, guarded
from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.oci.names import Reference
from mirror.proxy.outcomes import Outcomes
from mirror.proxy.outcomes import families as pull_families
from mirror.pulling import pulling_through
from mirror.registry.port import Registry
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
from mirror.settings.upstreams import CredentialSettings, UpstreamSettings
from mirror.store.lock import RuleLocks
from mirror.store.registry import Store
from mirror.sync.figures import RuleFigures, families
from mirror.sync.follow import Follower
from mirror.sync.preview import RulePreview, preview_rule
from mirror.sync.rule import MirrorRule
from mirror.sync.runner import Summary, run_rules, source_of
from mirror.sync.scene import Desk
from mirror.sync.state import RuleState, rule_states
from mirror.transfer.concurrency import Turns
from mirror.transfer.progress import Reporter, SilentReporter
from mirror.upstream.bandwidth import Window
from mirror.upstream.breaker import Thresholds
from mirror.upstream.logins import FileLogin, LoginSource
from mirror.upstream.proxies import Proxies
from mirror.upstream.registry import UpstreamRegistry
from mirror.upstream.terms import Limits as UpstreamLimits
from mirror.upstream.terms import Terms, Timeouts
from mirror.upstream.tls import Tls
from mirror.wire.pagination import PageRequest
from mirror.workshop.inspect import Inspection, Provenance, inspect

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
_EXPIRY_PERIOD_SECONDS = 600.0
_NO_NAMES = PageRequest(limit=0)


@asynccontextmanager
async def open_store(settings: Settings, *, must_exist: bool = False) -> AsyncIterator[Store]:
    """Our own store.

    Args:
        settings: ``storage.path`` says where.
        must_exist: refuse to create it, for commands that only look.

    Raises:
        ConfigurationFault: it must exist and does not. StorageFault: it cannot be opened.
    """
    path = settings.storage.path.expanduser()
    if must_exist and not path.is_dir():
        raise ConfigurationFault(
            f"no data folder {path}: name it with --data or storage.path; 'plugin-mirror serve' and 'sync' make one"
        )
    async with Store.open(path) as store:
        yield store


@asynccontextmanager
async def open_reader(settings: Settings, host: str | None, *, plain_http: bool = False) -> AsyncIterator[Registry]:
    """The registry that a reference names.

    Args:
        settings: where our own store is.
        host: ``HOST[:PORT]`` of another registry; None for our own store.
        plain_http: whether ``http://`` is meant; for loopback hosts it always is, as for engines.
    """
    if host is None:
        async with open_store(settings, must_exist=True) as store:
            yield store
        return
    plain = plain_http or Listen.parse(host if ":" in host.rpartition("]")[2] else f"{host}:80").is_loopback
    url = f"{'http' if plain else 'https'}://{host}"
    async with UpstreamRegistry.open(
        name=host, url=url, plain_http=plain, proxies=Proxies(environment=os.environ)
    ) as registry:
        yield registry


async def inspect_reference(settings: Settings, reference: Reference, *, plain_http: bool = False) -> Inspection:
    """What a reference stands for, with what is known to be wrong with it. Arguments as for :func:`open_reader`."""
    if reference.host is not None:
        async with open_reader(settings, reference.host, plain_http=plain_http) as reader:
            return await inspect(reader, reference.repository, reference.target)
    async with open_store(settings, must_exist=True) as store:
        found = await inspect(store, reference.repository, reference.target, store.recorded_findings)
        return replace(found, origin=await _provenance(store, found))


async def _provenance(store: Store, found: Inspection) -> Provenance | None:
    """Where something in our own store came from."""
    pulled = await store.origin(found.repository, found.target)
    if pulled is not None:
        return Provenance("pulled through", pulled.upstream, pulled.source, pulled.checked_at)
    for mirrored in (await store.mirrored(found.repository)).values():
        if mirrored.digest == found.manifest.digest and found.target in {mirrored.tag, mirrored.digest}:
            return Provenance("mirrored", mirrored.upstream, mirrored.source, mirrored.brought_at)
    return None


def advertised_host(settings: Settings) -> str:
    """``HOST:PORT`` as Docker hosts reach us: what we listen on, or this machine's name where that is every address."""
    listen_on = settings.server.listen
    if listen_on.host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return f"{socket.gethostname()}:{listen_on.port}"
    return str(listen_on)


async def sync(settings: Settings, names: Sequence[str], reporter: Reporter) -> Summary:
    """Run mirror rules now, beside a server that may be running on the same data.

    Args:
        settings: rules, upstreams, and where the store is.
        names: rules to run; empty: all.
        reporter: told of each tag.

    Raises:
        ConfigurationFault: no such rule, or none at all. StorageFault: the store cannot be opened.
    """
    rules = chosen([section.rule() for section in settings.mirrors], names)
    async with open_store(settings) as store, _sources(settings, rules) as sources:
        desk = Desk(store, _CLOCK, reporter, Turns())
        return await run_rules(rules, sources, _checked(store, store, settings), _rule_locks(settings), desk)


async def preview_sync(settings: Settings, names: Sequence[str]) -> list[RulePreview]:
    """What :func:`sync` would do. Raises as it does; nothing is changed, and no data folder is made."""
    rules = chosen([section.rule() for section in settings.mirrors], names)
    path = settings.storage.path.expanduser()
    async with AsyncExitStack() as stack:
        if not path.is_dir():  # a first look, before there is anything
            folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="plugin-mirror-")
            path = Path(stack.enter_context(folder))
        store = await stack.enter_async_context(Store.open(path))
        sources = await stack.enter_async_context(_sources(settings, rules))
        desk = Desk(store, _CLOCK, SilentReporter(), Turns())
        return [await preview_rule(rule, source_of(rule, sources), store, desk) for rule in rules]


async def mirror_states(settings: Settings) -> list[RuleState]:
    """How the mirror rules stand, by what is noted in the store."""
    rules = [section.rule() for section in settings.mirrors]
    async with open_store(settings, must_exist=True) as store:
        return await rule_states(rules, store, _rule_locks(settings).is_held, _CLOCK.now())


@asynccontextmanager
async def _sources(
    settings: Settings, rules: Iterable[MirrorRule], also: Iterable[str] = ()
) -> AsyncIterator[dict[str, UpstreamRegistry]]:
    """The upstreams of rules, and others, open, by name."""
    async with AsyncExitStack() as stack:
        names = sorted({rule.source for rule in rules}.union(also))
        yield {name: await stack.enter_async_context(_upstream(settings, name)) for name in names}


def _rule_locks(settings: Settings) -> RuleLocks:
    return RuleLocks(settings.storage.path.expanduser())


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
        (*metrics.FAMILIES, *families(rule.name for rule in settings.mirrors), *pull_families(settings.upstreams)),
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
        scheduled = [rule for rule in rules if rule.schedule is not None and not _is_offline(settings, rule)]
        pulled_from = [section.upstream for section in settings.proxy]
        sources = await stack.enter_async_context(_sources(settings, scheduled, pulled_from))
        limits = _limits(settings)
        load, share = Load.within(limits), worker.figures.share(worker.place)
        outcomes = Outcomes(share, settings.upstreams)
        held = await stack.enter_async_context(pulling_through(settings, store, sources, outcomes, _CLOCK))
        destination, locks = _checked(store, store, settings), _rule_locks(settings)
        served = _checked(held, store, settings)
        pulls = PullTimes(served, store.record_pulls, _CLOCK) if _asks_for_pulls(rules) else None
        registry = Authorize(pulls or served, AnonymousRights(settings.server.anonymous_actions))
        urls = {name: section.url for name, section in settings.upstreams.items()}
        mirroring = Mirroring(rules, urls, sources, store, locks, _CLOCK)
        watch = Metrics(worker.figures, share, store=store, load=load, lines=lines, more=mirroring.metrics)
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
            metrics=watch.page,
            reports={
                "mirrors": guarded(mirroring.mirrors, lambda: registry.list_repositories(_NO_NAMES)),
                "upstreams": guarded(mirroring.upstream_list, lambda: registry.list_repositories(_NO_NAMES)),
            },
        )
        desk = Desk(store, _CLOCK, SilentReporter(), Turns())
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


def _is_offline(settings: Settings, rule: MirrorRule) -> bool:
    """Whether running the rule could only fail, because that is wanted."""
    return settings.offline or settings.upstreams[rule.source].offline


def _asks_for_pulls(rules: Iterable[MirrorRule]) -> bool:
    return any(rule.retention is not None and rule.retention.pulled_within is not None for rule in rules)


def _limits(settings: Settings) -> Limits:
    return Limits(**settings.server.limits.model_dump(), shutdown_seconds=settings.server.shutdown_seconds)


def _checked(registry: Registry, store: Store, settings: Settings) -> Registry:
    """A registry as it is written to: plugins are looked at first, unless that is switched off."""
    checks = settings.server.plugin_checks
    return registry if checks == "off" else PluginChecks(registry, store, enforce=checks == "enforce")


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


@asynccontextmanager
async def _upstream(settings: Settings, name: str) -> AsyncIterator[UpstreamRegistry]:
    section = settings.upstreams[name]
    async with UpstreamRegistry.open(
        name=name,
        url=section.url,
        plain_http=section.plain_http,
        login=_login(section),
        tls=Tls(section.tls.ca_file, section.tls.certificate_file, section.tls.key_file),
        proxies=Proxies(section.proxy, os.environ),
        terms=_terms(settings, section),
    ) as registry:
        yield registry


def _login(section: UpstreamSettings) -> LoginSource | None:
    match section.credentials:
        case CredentialSettings(docker_config=path) if path is not None:
            return FileLogin.docker(path, URL(section.url).authority)
        case CredentialSettings(username=username, password_file=path) if username is not None and path is not None:
            return FileLogin.password(username, path)
        case _:
            return None


def _terms(settings: Settings, section: UpstreamSettings) -> Terms:
    limits, breaker = section.limits, section.breaker
    return Terms(
        timeouts=Timeouts(section.connect_timeout_seconds, section.read_timeout_seconds),
        thresholds=Thresholds(breaker.failures, breaker.rest_seconds, breaker.longest_rest_seconds),
        limits=UpstreamLimits(
            connections=limits.connections,
            requests_per_second=limits.requests_per_second,
            bandwidth=tuple(
                Window(window.bytes_per_second, window.start or time(), window.stop or time())
                for window in limits.bandwidth
            ),
            zone=ZoneInfo(limits.time_zone),
            shared_folder=settings.storage.path.expanduser() / "limits",
        ),
        offline=settings.offline or section.offline,
    )
