"""The services of a process, one for each configuration: the one in use, and those whose requests have not ended."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from mirror.app.configuration.configuration_state import ConfigurationHolder, ConfigurationState
from mirror.app.configuration.process_parts import SharedParts
from mirror.app.configuration.server_record import ServerRecord
from mirror.app.configuration.serving_series import series_of
from mirror.app.configuration.settings_source import SettingsSource
from mirror.app.configuration.supervision import NO_ROOM, Decision, Proposal, has_terminal
from mirror.app.storage.upkeep_chores import Chore
from mirror.app.tls.tls_listening import LiveContexts, server_contexts
from mirror.app.worker import Service, Worker, build_service
from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.runtime.concurrency.threads import in_thread
from mirror.runtime.files.reloading_file import ReloadingFile
from mirror.runtime.logs import EventLog
from mirror.runtime.worker_processes import ParentProcess
from mirror.server.http_server import Listener
from mirror.server.live_application import LiveApplication
from mirror.settings import Settings
from mirror.settings.loading.configuration import with_keys

_LOG = structlog.get_logger(__name__)
#: Time until background work that failed unexpectedly begins again.
_PAUSE_SECONDS: Final = 60.0


@dataclass(eq=False)
class PreparedService:
    """A service that is built and does not work yet, that works, or whose last requests end.

    Attributes:
        settings: settings of the service.
        contexts: TLS contexts as these settings want them; None for plain HTTP.
        decided: set when the service is to work, or to be dropped.
        is_wanted: True if it is to work.
        replaced: set when another service has taken over, or the process ends.
        ended: set when all its parts are closed.
    """

    settings: Settings
    contexts: ReloadingFile[ssl.SSLContext] | None = None
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    is_wanted: bool = False
    replaced: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    following: asyncio.Task[None] | None = None
    _service: Service | None = None

    @property
    def service(self) -> Service:
        """The service, after it was built."""
        if self._service is None:
            raise AssertionError("the service is not built yet")
        return self._service

    async def run(self, worker: Worker, shared: SharedParts, built: asyncio.Future[None]) -> None:
        """Build the service, and work when that is decided, until another one has taken over and all requests ended.

        Args:
            worker: start parameters of the process.
            shared: parts that all services of the process share.
            built: gets the outcome of the building.
        """
        try:
            async with build_service(self.settings, worker, shared.lines, shared) as service:
                self._service = service
                if not built.done():  # nobody waits any more if the process ends
                    built.set_result(None)
                await self.decided.wait()
                if self.is_wanted:
                    await self._work(service, shared)
        except Exception as error:
            if built.done():
                raise
            built.set_exception(error)
        finally:
            self.ended.set()

    async def _work(self, service: Service, shared: SharedParts) -> None:
        shared.updates.add(service.updates)
        # Records of requests are flushed to the last one. Other work follows the settings, so it ends with them.
        async with BackgroundTasks() as flushes:
            for flush in service.flushes:
                flushes.create_task(flush())
            async with BackgroundTasks() as chores:
                self.following = chores.create_task(service.follow())
                for chore in service.chores:
                    chores.create_task(_keep_up(chore))
                await self.replaced.wait()
            await service.application.activity.in_flight.ended()
        shared.updates.remove(service.updates)


async def _keep_up(chore: Chore) -> None:
    """Run background work. If it fails unexpectedly, log that and begin again: the server goes on."""
    while True:
        try:
            await chore()
        except Exception as error:  # noqa: BLE001 - whatever fails in the background, content can be served
            _LOG.error("background work failed, begins again", in_seconds=_PAUSE_SECONDS, exc_info=error)
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return


class LiveService:
    """The service in use by a process, which a reload replaces.

    Args:
        worker: start parameters of the process.
        configuration: holds the state of the configuration.
        shared: parts that all services of the process share.
        log: log of the process.
        tasks: owns the tasks of the services.

    Attributes:
        contexts: TLS contexts for new connections; None for plain HTTP.
    """

    def __init__(
        self,
        worker: Worker,
        configuration: ConfigurationHolder,
        shared: SharedParts,
        log: EventLog,
        tasks: BackgroundTasks,
    ) -> None:
        self.contexts: LiveContexts | None = None
        self._worker = worker
        self._configuration = configuration
        self._shared = shared
        self._log = log
        self._tasks = tasks
        self._all: list[PreparedService] = []
        self._current: PreparedService | None = None
        self._served: tuple[LiveApplication, Sequence[Listener]] | None = None

    @property
    def current(self) -> PreparedService:
        """The service in use."""
        if self._current is None:
            raise AssertionError("no service is in use yet")
        return self._current

    async def prepare(self, settings: Settings) -> PreparedService:
        """Build a service beside the one in use. Nothing is changed until :meth:`use`.

        Raises:
            ConfigurationFault: a file of the settings is unusable, or their metrics do not fit.
            StorageFault: the store cannot be used.
        """
        if not self._worker.shared_metrics.extend(series_of(settings)):
            raise ConfigurationFault(NO_ROOM)
        contexts = await in_thread(server_contexts, settings)
        prepared = PreparedService(settings, contexts)
        self._all = [each for each in self._all if not each.ended.is_set()] + [prepared]
        built: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks.create_task(prepared.run(self._worker, self._shared, built))
        await built
        return prepared

    def use(self, prepared: PreparedService, state: ConfigurationState) -> None:
        """Let a prepared service answer all new requests, also those on open connections.

        Args:
            prepared: the service.
            state: the state of the configuration from now on.
        """
        former, self._current = self._current, prepared
        settings, application = prepared.settings, prepared.service.application
        self._configuration.state = state
        self._shared.use(settings, application.activity)
        self._log.set_level(settings.log.level)
        prepared.is_wanted = True
        prepared.decided.set()
        if prepared.contexts is not None:
            if self.contexts is None:
                self.contexts = LiveContexts(prepared.contexts)
            self.contexts.files = prepared.contexts
        if self._served is not None:
            live, listeners = self._served
            live.replace(application)
            if settings.server.plain is not None:
                listeners[-1].networks = settings.server.plain.networks
        if former is not None:
            former.replaced.set()

    async def try_to_prepare(self, settings: Settings) -> tuple[PreparedService | None, str]:
        """Build a service as :meth:`prepare` does. Return it, or None and the reason why it cannot be built."""
        try:
            return await self.prepare(settings), ""
        except MirrorError as error:
            return None, str(error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with new settings, it must not end the server
            _LOG.error("service could not be built for new settings", exc_info=error)
            return None, f"unexpected {type(error).__name__}: {error}"

    def end_reload(self, prepared: PreparedService | None, state: ConfigurationState) -> None:
        """Use a prepared service, or drop it, and log the outcome of the reload.

        Args:
            prepared: the service; None if it could not be built.
            state: the state of the configuration from now on. If it has a refusal, the service in use stays in use.
        """
        if state.refusal or prepared is None:
            if prepared is not None:
                prepared.decided.set()
            self._configuration.state = state
            _LOG.error(
                "configuration not reloaded, last settings stay in use", file=state.file or None, error=state.refusal
            )
            return
        self.use(prepared, state)
        _LOG.info("configuration reloaded", file=state.file or None)
        if state.waiting:
            _LOG.warning("settings wait for a restart of the server", settings=list(state.waiting))
        for sentence in with_keys(state.settings.advice(), state.settings):
            _LOG.warning("configuration should be changed", advice=sentence)

    def serve_through(self, live: LiveApplication, listeners: Sequence[Listener]) -> None:
        """Let the next services answer the requests of a running HTTP server."""
        self._served = live, listeners

    def stop_rules(self) -> None:
        """Stop running mirror rules."""
        if self.current.following is not None:
            self.current.following.cancel()

    async def aclose(self) -> None:
        """End all services, after their last requests."""
        for each in self._all:
            each.decided.set()
            each.replaced.set()
        for each in self._all:
            await each.ended.wait()


async def follow_parent(parent: ParentProcess, live: LiveService) -> None:
    """Reload as the parent of the workers wants it, until the parent ends."""
    prepared: PreparedService | None = None
    with suppress(EOFError, OSError):
        while True:
            message = await parent.receive()
            if isinstance(message, Proposal):
                prepared, refusal = await live.try_to_prepare(message.settings)
                parent.answer(message.number, refusal)
            elif isinstance(message, Decision):
                live.end_reload(prepared, message.state)
                prepared = None
                parent.answer(message.number, "")


async def follow_hangups(
    hung_up: asyncio.Event, source: SettingsSource, record: ServerRecord, live: LiveService, stop: asyncio.Event
) -> None:
    """Reload after each SIGHUP, until cancelled. Stop after one that means that the terminal of the server is gone.

    Args:
        hung_up: set after each SIGHUP.
        source: the configuration.
        record: record of the server in its data folder.
        live: the services of the process.
        stop: set to stop the server.
    """
    had_terminal = has_terminal()
    while True:
        await hung_up.wait()
        hung_up.clear()
        if had_terminal and not has_terminal():
            stop.set()
            return
        record.reload_begins(source.number)
        reading = await in_thread(source.look)
        prepared, refusal = None, reading.fault
        if reading.settings is not None:
            prepared, refusal = await live.try_to_prepare(reading.settings)
        state = source.end(reading, refusal)
        live.end_reload(prepared, state)
        record.reload_ended(state.reloads, state.refusal, state.waiting)
