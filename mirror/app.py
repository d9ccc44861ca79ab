"""The composition root: settings become an object graph here, and nothing else knows concrete classes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from yarl import URL

from mirror.filters.authorize import AnonymousRights, Authorize
from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.registry.port import Registry
from mirror.runtime import logs, stopping
from mirror.runtime.workers import run_workers
from mirror.server.application import build
from mirror.server.limits import Limits
from mirror.server.serve import listen, serving
from mirror.settings import Settings
from mirror.settings.listen import Listen
from mirror.settings.sections import CredentialSettings, UpstreamSettings
from mirror.store.lock import RuleLocks
from mirror.store.registry import Store
from mirror.sync.rule import MirrorRule
from mirror.sync.runner import Summary, run_rules
from mirror.transfer.progress import Progress
from mirror.transfer.select import TagSelection
from mirror.upstream.credentials import Credentials
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.pagination import PageRequest

_LOG = structlog.get_logger(__name__)
_EXPIRY_PERIOD_SECONDS = 600.0
_READY_PAGE = PageRequest(limit=1)


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
    async with UpstreamRegistry.open(name=host, url=url, plain_http=plain) as registry:
        yield registry


def advertised_host(settings: Settings) -> str:
    """``HOST:PORT`` as Docker hosts reach us: what we listen on, or this machine's name where that is every address."""
    listen_on = settings.server.listen
    if listen_on.host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return f"{socket.gethostname()}:{listen_on.port}"
    return str(listen_on)


async def sync(settings: Settings, names: Collection[str], progress: Progress) -> Summary:
    """Run mirror rules now, beside a server that may be running on the same data.

    Args:
        settings: rules, upstreams, and where the store is.
        names: rules to run; empty: all.
        progress: told of each tag.

    Raises:
        ConfigurationFault: no such rule, or none at all. StorageFault: the store cannot be opened.
    """
    rules = _chosen_rules(settings, names)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings))
        wanted = sorted({rule.source for rule in rules})
        sources = {name: await stack.enter_async_context(_upstream(settings, name)) for name in wanted}
        return await run_rules(rules, sources, store, RuleLocks(settings.storage.path.expanduser()), progress)


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
    if workers == 1:
        _serve_here(settings, listener, None)
        return 0
    asyncio.run(_open_and_close(settings))  # what is wrong with it is said once, not by every worker again and again
    return run_workers(workers, lambda parent: _serve_here(settings, listener, parent), listener.close)


async def _open_and_close(settings: Settings) -> None:
    async with open_store(settings):
        pass


def _serve_here(settings: Settings, listener: socket.socket, parent: int | None) -> None:
    with logs.configured(settings.log.level, settings.log.format):
        asyncio.run(_serve(settings, listener, parent))


async def _serve(settings: Settings, listener: socket.socket, parent: int | None) -> None:
    async with open_store(settings) as store, asyncio.TaskGroup() as tasks:
        registry = Authorize(store, AnonymousRights(settings.server.anonymous_actions))
        limits = _limits(settings)
        application = build(
            registry, limits=limits, readiness={"catalog": lambda: store.list_repositories(_READY_PAGE)}
        )
        expiry = tasks.create_task(_expire_uploads(store, timedelta(hours=settings.storage.upload_expiry_hours)))
        with stopping.requested(parent) as stop:
            async with serving(application, listener):
                _announce(settings, listener)
                await stop.wait()
                _LOG.info("stopping", transfers_may_take_seconds=limits.shutdown_seconds)
        expiry.cancel()


def _limits(settings: Settings) -> Limits:
    return Limits(shutdown_seconds=settings.server.shutdown_seconds)


def _announce(settings: Settings, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    _LOG.info(
        "listening",
        url=f"http://{Listen(settings.server.listen.host, port)}",
        data=str(settings.storage.path),
        anonymous=sorted(action.value for action in settings.server.anonymous_actions),
    )
    if settings.proxy:
        _LOG.warning("this version does not serve proxy rules: a pull fetches nothing", rules=len(settings.proxy))
    if scheduled := [rule.name for rule in settings.mirrors if rule.every or rule.cron]:
        _LOG.warning("this version keeps no schedule: let a timer run plugin-mirror sync", rules=scheduled)


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


def _chosen_rules(settings: Settings, names: Collection[str]) -> list[MirrorRule]:
    known = {rule.name: rule for rule in settings.mirrors}
    if not known:
        raise ConfigurationFault("the configuration has no mirror rules: write one under mirrors:, see config/")
    if unknown := [name for name in names if name not in known]:
        raise ConfigurationFault(f"no mirror rule is named {unknown[0]!r} (rules: {', '.join(sorted(known))})")
    return [
        MirrorRule.parse(
            rule.name,
            rule.source,
            rule.to,
            TagSelection(rule.tags.include, rule.tags.exclude, rule.tags.newest),
        )
        for rule in settings.mirrors
        if not names or rule.name in names
    ]


@asynccontextmanager
async def _upstream(settings: Settings, name: str) -> AsyncIterator[UpstreamRegistry]:
    section = settings.upstreams[name]
    async with UpstreamRegistry.open(
        name=name,
        url=section.url,
        plain_http=section.plain_http,
        credentials=_credentials(section),
        connect_timeout_seconds=section.connect_timeout_seconds,
        read_timeout_seconds=section.read_timeout_seconds,
    ) as registry:
        yield registry


def _credentials(section: UpstreamSettings) -> Credentials | None:
    match section.credentials:
        case CredentialSettings(docker_config=path) if path is not None:
            return Credentials.from_docker_config(path, URL(section.url).authority)
        case CredentialSettings(username=username, password_file=path) if username is not None and path is not None:
            return Credentials.from_password_file(username, path)
        case _:
            return None
