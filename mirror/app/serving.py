"""Command ``serve``: runs the registry with its background work."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from typing import Final

import structlog

from mirror.app.bucket.data_folder_only import require_data_folder_only
from mirror.app.bundles.bundle_serving import BundleToServe, ServedBundle, open_served, settings_for_bundle
from mirror.app.configuration.configuration_state import ConfigurationHolder
from mirror.app.configuration.process_parts import shared_parts
from mirror.app.configuration.server_record import RunningServer, ServerRecord, pid_namespace, recorded
from mirror.app.configuration.serving_plan import limits_of
from mirror.app.configuration.serving_series import allocate_shared_metrics, series_of
from mirror.app.configuration.settings_source import SettingsSource
from mirror.app.configuration.supervision import Supervision
from mirror.app.database.catalog_opening import catalog_copier
from mirror.app.live_service import LiveService, follow_hangups, follow_parent
from mirror.app.services import open_store, require_data_folder
from mirror.app.tls.certificate_keeping import renew_before_start
from mirror.app.tls.tls_listening import listeners_of, server_contexts
from mirror.app.worker import Worker
from mirror.oci.errors import StorageFault
from mirror.runtime import logs, shutdown_signals
from mirror.runtime.clock import SystemClock
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.runtime.worker_processes import ParentProcess, WorkerProcesses
from mirror.server.http.open_files import handle_loop_error
from mirror.server.http_server import listen, serving
from mirror.settings import Settings, unknown_variables
from mirror.settings.loading.configuration import with_keys
from mirror.settings.server.listen_address import HostPort
from mirror.store.private_state import private_state
from mirror.store.records.sql_records import import_records

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
#: Python's thread switch interval in seconds: the event loop waits this long for a computing thread after each system
#: call. With the default of 5 ms, four clients that pushed large manifests delayed other clients by 4 s. With this
#: value the delay is 0.2 s.
_SWITCH_SECONDS: Final = 0.0005
#: Numbers of objects after which garbage is looked for. They are those of Python, which commands raise.
_COLLECTED_AFTER: Final = (700, 10, 10)


def serve(read: Callable[[], Settings], file: Path | None = None, wanted: BundleToServe | None = None) -> int:
    """Serve the registry until SIGTERM or SIGINT. Read the configuration again on SIGHUP.

    Args:
        read: reads the configuration: its file, the environment and the flags.
        file: the file; None without a file.
        wanted: bundle to serve instead of the content of the data folder; None for the data folder.

    Returns:
        The exit code.

    Raises:
        BundleFault: the bundle cannot be used.
        ConfigurationFault: the configuration is invalid, or the server cannot listen on the address.
        StorageFault: the store cannot be opened.
    """
    shutdown_signals.keep_hangups()
    settings = configured = read()
    with ExitStack() as stack:
        state = bundle = None
        if wanted is not None:
            bundle = asyncio.run(open_served(settings, wanted))
            settings = stack.enter_context(settings_for_bundle(settings))
        if settings.server.read_only:
            path = settings.storage.path
            require_data_folder(path)
            require_data_folder_only(settings, "server.read_only serves the data folder as it is", "remove read_only")
            # All workers share one copy, which must not change under them.
            state = stack.enter_context(private_state(path, catalog_copier(settings)))
            # No upstream is asked and no rule runs: there is no place to keep what they bring.
            settings = settings.model_copy(update={"offline": True})
        source = SettingsSource(read, "" if file is None else str(file.absolute()), configured, settings, _CLOCK)
        # The parent of workers forks them, so it must have no thread for its log.
        with logs.configured(settings.log.level, settings.log.format, has_thread=False):
            return _serve_with(settings, source, state, bundle)


def _serve_with(settings: Settings, source: SettingsSource, state: Path | None, bundle: ServedBundle | None) -> int:
    renew_before_start(settings)
    _allow_connections()
    # Sockets and shared memory are created before workers are forked, so that all workers share them.
    sockets = [listen(address.host, address.port) for address in settings.server.addresses]
    workers = settings.server.workers
    shared_metrics = allocate_shared_metrics(settings)
    _spare_the_collector()

    def serve_here(place: int = 0, parent: ParentProcess | None = None) -> None:
        # A replacement of a dead worker begins with the settings of the last reload.
        holder = ConfigurationHolder(source.state)
        own = None if parent is not None else source
        _serve_here(Worker(sockets, shared_metrics, place, parent, state, bundle, holder), holder, own)

    if workers == 1:
        serve_here()
        return 0
    # The parent opens the store once, so that an error is reported once and not by every worker again and again.
    asyncio.run(_open_and_close(settings, state))

    def stop_listening() -> None:
        for each in sockets:
            each.close()

    with _recorded(settings, sockets, _tell_unrecorded) as record:
        supervision = Supervision(source, record, lambda wanted: shared_metrics.extend(series_of(wanted)))
        return WorkerProcesses(workers, serve_here, stop_listening, supervision.hung_up).run()


@contextmanager
def _recorded(
    settings: Settings, sockets: Sequence[socket.socket], told: Callable[[StorageFault], object]
) -> Iterator[ServerRecord]:
    """Record this server in its data folder during the block, so that commands find it. A failure is told."""
    addresses = [
        str(HostPort(address.host, each.getsockname()[1]))
        for address, each in zip(settings.server.addresses, sockets, strict=True)
    ]
    server = RunningServer(os.getpid(), pid_namespace(), tuple(addresses), has_tls=settings.server.tls is not None)
    if settings.server.read_only:  # nothing is written to the data folder
        yield ServerRecord(None, server)
        return
    with recorded(settings.storage.path, server, told) as record:
        yield record


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
    import_records()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)


def _serve_here(worker: Worker, configuration: ConfigurationHolder, source: SettingsSource | None) -> None:
    sys.setswitchinterval(_SWITCH_SECONDS)
    section = configuration.state.settings.log
    with logs.configured(section.level, section.format) as log:
        asyncio.run(_serve(worker, configuration, log, source))


async def _serve(
    worker: Worker, configuration: ConfigurationHolder, log: logs.EventLog, source: SettingsSource | None
) -> None:
    """Serve until a request to stop.

    Args:
        worker: start parameters of the process.
        configuration: holds the state of the configuration.
        log: log of the process.
        source: the configuration, which this process reads again on SIGHUP; None if its parent does.
    """
    settings, slot = configuration.state.settings, worker.shared_metrics.slot(worker.place)
    async with (
        shared_parts(settings, slot, log.lines, worker.private_state) as shared,
        BackgroundTasks() as tasks,
        aclosing(LiveService(worker, configuration, shared, log, tasks)) as live,
    ):
        live.use(await live.prepare(settings), configuration.state)
        # Set here, because asyncio accepts connections outside of all tasks.
        asyncio.get_running_loop().set_exception_handler(handle_loop_error)
        tasks.create_task(shared.updates.keep_up())
        if live.contexts is not None:
            tasks.create_task(live.contexts.follow())
        listeners = listeners_of(settings, worker.sockets, live.contexts)
        with shutdown_signals.stop_requested(None if worker.parent is None else worker.parent.alive) as stop:
            async with serving(live.current.service.application, *listeners, write=log.info) as served:
                live.serve_through(served, listeners)
                _announce(settings, worker)
                with ExitStack() as reloading:
                    if source is not None:
                        hung_up = reloading.enter_context(shutdown_signals.hangups())
                        record = reloading.enter_context(_recorded(settings, worker.sockets, _tell_unrecorded))
                        tasks.create_task(follow_hangups(hung_up, source, record, live, stop))
                    elif worker.parent is not None:
                        tasks.create_task(follow_parent(worker.parent, live))
                    await stop.wait()
                _LOG.info("server stopping", transfers_may_take_seconds=live.current.settings.server.shutdown_seconds)
                # Mirror rules stop first. Transfers of clients may go on for the shutdown time.
                live.stop_rules()


def _tell_unrecorded(error: StorageFault) -> None:
    _LOG.warning("server not recorded in its data folder, so that commands cannot find it", error=str(error))


def _announce(settings: Settings, worker: Worker) -> None:
    for sentence in (*unknown_variables(), *with_keys(settings.advice(), settings)):
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
