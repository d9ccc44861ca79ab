"""Command ``serve``: runs the registry with its background work."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import structlog

from mirror.app.bundles.bundle_serving import BundleToServe, ServedBundle, open_served, settings_for_bundle
from mirror.app.services import open_store, require_data_folder
from mirror.app.serving_plan import limits_of
from mirror.app.tls.certificate_keeping import renew_before_start
from mirror.app.tls.tls_listening import listeners_of, server_contexts
from mirror.app.worker import Worker, allocate_shared_metrics, build_service
from mirror.runtime import logs, shutdown_signals
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.runtime.concurrency.threads import in_thread
from mirror.runtime.worker_processes import run_workers
from mirror.server.http.open_files import handle_loop_error
from mirror.server.http_server import listen, serving
from mirror.settings import Settings, unknown_variables
from mirror.settings.server.listen_address import HostPort
from mirror.store.private_state import private_state

_LOG = structlog.get_logger(__name__)
#: Python's thread switch interval in seconds: the event loop waits this long for a computing thread after each system
#: call. With the default of 5 ms, four clients that pushed large manifests delayed other clients by 4 s. With this
#: value the delay is 0.2 s.
_SWITCH_SECONDS: Final = 0.0005


def serve(settings: Settings, wanted: BundleToServe | None = None) -> int:
    """Serve the registry until SIGTERM or SIGINT.

    Args:
        settings: settings of the server.
        wanted: bundle to serve instead of the content of the data folder; None for the data folder.

    Returns:
        The exit code.

    Raises:
        BundleFault: the bundle cannot be used.
        ConfigurationFault: the server cannot listen on the address.
        StorageFault: the store cannot be opened.
    """
    with ExitStack() as stack:
        state = bundle = None
        if wanted is not None:
            bundle = asyncio.run(open_served(settings, wanted))
            settings = stack.enter_context(settings_for_bundle(settings))
        if settings.server.read_only:
            path = settings.storage.path
            require_data_folder(path)
            # All workers share one copy, which must not change under them.
            state = stack.enter_context(private_state(path))
            # No upstream is asked and no rule runs: there is no place to keep what they bring.
            settings = settings.model_copy(update={"offline": True})
        return _serve_with(settings, state, bundle)


def _serve_with(settings: Settings, state: Path | None, bundle: ServedBundle | None) -> int:
    renew_before_start(settings)
    _allow_connections()
    # Sockets and shared memory are created before workers are forked, so that all workers share them.
    sockets = [listen(address.host, address.port) for address in settings.server.addresses]
    workers = settings.server.workers
    shared_metrics = allocate_shared_metrics(settings)
    _spare_the_collector()
    if workers == 1:
        _serve_here(settings, Worker(sockets, shared_metrics, private_state=state, bundle=bundle))
        return 0
    # The parent opens the store once, so that an error is reported once and not by every worker again and again.
    asyncio.run(_open_and_close(settings, state))

    def stop_listening() -> None:
        for each in sockets:
            each.close()

    return run_workers(
        workers,
        lambda place, parent: _serve_here(settings, Worker(sockets, shared_metrics, place, parent, state, bundle)),
        stop_listening,
    )


async def _open_and_close(settings: Settings, state: Path | None) -> None:
    server_contexts(settings)
    async with open_store(settings, private_state=state):
        pass


def _allow_connections() -> None:
    """Raise the soft limit of open files to the hard limit, because shells and systemd start processes with 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _spare_the_collector() -> None:
    """Exclude all imported objects from garbage collection. They are never freed, and a full collection takes 80 ms."""
    gc.collect()
    gc.freeze()


def _serve_here(settings: Settings, worker: Worker) -> None:
    sys.setswitchinterval(_SWITCH_SECONDS)
    with logs.configured(settings.log.level, settings.log.format) as log:
        asyncio.run(_serve(settings, worker, log))


async def _serve(settings: Settings, worker: Worker, log: logs.EventLog) -> None:
    async with build_service(settings, worker, log.lines) as service, BackgroundTasks() as tasks:
        following = tasks.create_task(service.follow())
        # Set here, because asyncio accepts connections outside of all tasks.
        asyncio.get_running_loop().set_exception_handler(handle_loop_error)
        contexts = await in_thread(server_contexts, settings)
        if contexts is not None:
            tasks.create_task(contexts.follow())
        for chore in service.chores:
            tasks.create_task(chore())
        with shutdown_signals.stop_requested(worker.parent) as stop:
            async with serving(service.application, *listeners_of(settings, worker.sockets, contexts), write=log.info):
                _announce(settings, worker)
                await stop.wait()
                _LOG.info("server stopping", transfers_may_take_seconds=settings.server.shutdown_seconds)
                # Mirror rules stop first. Transfers of clients may go on for the shutdown time.
                following.cancel()


def _announce(settings: Settings, worker: Worker) -> None:
    for sentence in (*unknown_variables(), *settings.advice()):
        _LOG.warning("configuration should be changed", advice=sentence)
    bundle = worker.bundle
    for sentence in () if bundle is None else bundle.warnings:
        _LOG.warning("bundle should be looked at", advice=sentence)
    scheme = "http" if settings.server.tls is None else "https"
    urls = [
        f"{scheme if number == 0 else 'http'}://{HostPort(address.host, each.getsockname()[1])}"
        for number, (address, each) in enumerate(zip(settings.server.addresses, worker.sockets, strict=True))
    ]
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections, wanted = limits_of(settings).connections, settings.server.limits.connections
    if connections < wanted:
        _LOG.warning(
            "connections limited by open files",
            open_files=open_files,
            connections=connections,
            configured=wanted,
            fix="raise the hard limit of open files (ulimit -Hn, LimitNOFILE=), or lower server.limits.connections",
        )
    _LOG.info(
        "server listening",
        url=urls[0],
        **({} if settings.server.plain is None else {"plain_url": urls[1]}),
        data=str(settings.storage.path),
        open_files=open_files,
        connections=connections,
        anonymous=sorted(action.value for action in settings.server.anonymous_actions),
        **({} if worker.private_state is None else {"read_only_copy_of_catalog": str(worker.private_state)}),
        **({} if bundle is None else bundle.shown()),
    )
