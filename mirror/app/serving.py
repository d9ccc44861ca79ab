"""``serve``: the registry, with all that goes on beside it."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import sys
from typing import Final

import structlog

from mirror.app.services import open_store
from mirror.app.worker import Worker, allocate_shared_metrics, build_service, limits_of
from mirror.runtime import logs, shutdown_signals
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.runtime.worker_processes import run_workers
from mirror.server.http_server import listen, serving
from mirror.settings import Settings
from mirror.settings.listen_address import HostPort

_LOG = structlog.get_logger(__name__)
#: How long a thread that computes keeps the event loop waiting after each call into the kernel, in seconds. By Python's
#: own 5 ms, four clients that put large manifests kept others waiting for 4 s; by this, for 0.2 s.
_SWITCH_SECONDS: Final = 0.0005


def serve(settings: Settings) -> int:
    """Serve the registry until SIGTERM or SIGINT.

    Returns:
        The exit code.

    Raises:
        ConfigurationFault: the address cannot be had. StorageFault: the store cannot be opened.
    """
    address = settings.server.listen
    listener = listen(address.host, address.port, limits_of(settings))
    workers = settings.server.workers
    shared_metrics = allocate_shared_metrics(settings)
    _allow_connections()
    _spare_the_collector()
    if workers == 1:
        _serve_here(settings, Worker(listener, shared_metrics))
        return 0
    asyncio.run(_open_and_close(settings))  # what is wrong with it is said once, not by every worker again and again
    return run_workers(
        workers,
        lambda place, parent: _serve_here(settings, Worker(listener, shared_metrics, place, parent)),
        listener.close,
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


def _serve_here(settings: Settings, worker: Worker) -> None:
    sys.setswitchinterval(_SWITCH_SECONDS)
    with logs.configured(settings.log.level, settings.log.format) as lines:
        asyncio.run(_serve(settings, worker, lines))


async def _serve(settings: Settings, worker: Worker, lines: logs.LogLines) -> None:
    async with build_service(settings, worker, lines) as service, BackgroundTasks() as tasks:
        following = tasks.create_task(service.follow())
        for chore in service.chores:
            tasks.create_task(chore())
        with shutdown_signals.stop_requested(worker.parent) as stop:
            async with serving(service.application, worker.listener):
                _announce(settings, worker.listener)
                await stop.wait()
                _LOG.info("server stopping", transfers_may_take_seconds=settings.server.shutdown_seconds)
                following.cancel()


def _announce(settings: Settings, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    _LOG.info(
        "server listening",
        url=f"http://{HostPort(settings.server.listen.host, port)}",
        data=str(settings.storage.path),
        anonymous=sorted(action.value for action in settings.server.anonymous_actions),
    )
