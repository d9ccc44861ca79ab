"""Services of a process on the local data folder, each built once, for commands and serving processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from mirror.app.database.catalog_opening import catalog_copier, catalog_database
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.settings.storage.repository_settings import immutable_tags
from mirror.store.catalog.databases.sqlite_database import SqliteDatabase
from mirror.store.content.folder_access import can_write
from mirror.store.private_state import opened_private_state
from mirror.store.registry import Store
from mirror.store.storage_errors import storage_faults
from mirror.store.work_locks import RuleLocks

# Each service is imported where it is built: commands that read the store need none, and start without them.
if TYPE_CHECKING:
    from mirror.admission.approvals import Approvals
    from mirror.admission.key_files import KeyFiles
    from mirror.admission.matured_plugins import MaturedPlugins
    from mirror.admission.standing import PluginStanding
    from mirror.filters.admission.admission_controller import AdmissionController
    from mirror.filters.plugin_checks import PluginChecker
    from mirror.filters.shared_layers import SharedLayerReader
    from mirror.plugin.policy.admission_policy import Policy
    from mirror.plugin.policy.policy_action import PolicyAction
    from mirror.records.admission.verdicts import AdmissionRecords, PluginBlobs
    from mirror.records.lifecycle.pushed_tags import ImmutableTags
    from mirror.registry.port import Registry
    from mirror.upstream.registry import UpstreamRegistry

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()


def _uncounted(_action: PolicyAction) -> None:
    """Ignore a decision: commands have no metrics."""


@asynccontextmanager
async def open_store(
    settings: Settings,
    *,
    must_exist: bool = False,
    only_reads: bool = False,
    private_state: Path | None = None,
    immutable: ImmutableTags | None = None,
) -> AsyncIterator[Store]:
    """Open the local store.

    Args:
        settings: ``storage.path`` is the data folder.
        must_exist: True to refuse to create the data folder.
        only_reads: True for a command that only reads. The data folder must exist, and need not be writable.
        private_state: folder of :func:`mirror.store.private_state.private_state`, if the data folder is read-only.
        immutable: the tags that may not move; None for those of the settings.

    Raises:
        ConfigurationFault: the data folder must exist and does not, or its content is not where the settings say.
        StorageFault: the store cannot be opened.
    """
    path, blobs = settings.storage.path, settings.storage.blobs
    if must_exist or only_reads:
        require_data_folder(path)
    bucket = None
    if blobs is not None:
        from mirror.app.bucket.bucket_opening import open_bucket

        bucket = open_bucket(blobs)
    limits, kept_free = settings.server.limits.of_sessions(), settings.storage.kept_free
    async with AsyncExitStack() as stack:
        if only_reads and not can_write(path):
            private_state = await stack.enter_async_context(opened_private_state(path, catalog_copier(settings)))
        yield await stack.enter_async_context(
            Store.open(
                path,
                # A private state has the catalog in a file of its own.
                database=catalog_database(settings) if private_state is None else SqliteDatabase,
                session_limits=limits,
                kept_free=kept_free,
                private_state=private_state,
                immutable=immutable_tags(settings.repositories) if immutable is None else immutable,
                keeps_changes=settings.keeps_changes and not only_reads,
                bucket=bucket,
                cache_limit_bytes=None if blobs is None else blobs.cache,
            )
        )


def has_data_folder(path: Path) -> bool:
    """Return True if the data folder exists. Raises StorageFault if a folder around it is closed to this user."""
    with storage_faults("open the data folder"):
        return path.is_dir()


def require_data_folder(path: Path) -> None:
    """Check that the data folder exists. Raises ConfigurationFault, and StorageFault as :func:`has_data_folder`."""
    if not has_data_folder(path):
        raise ConfigurationFault(
            f"no data folder {path}; fix: set --data or storage.path ('plugin-mirror serve' and 'sync' create a folder)"
        )


@asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    must_exist: bool = False,
    only_reads: bool = False,
    private_state: Path | None = None,
    counted: Callable[[PolicyAction], None] = _uncounted,
) -> AsyncIterator[Services]:
    """Open the local store with its services. Leaving closes the store and the upstreams.

    Args:
        settings: settings of the process.
        must_exist: see :func:`open_store`.
        only_reads: see :func:`open_store`.
        private_state: see :func:`open_store`.
        counted: called with every decision of the admission policy.

    Raises:
        ConfigurationFault, StorageFault: see :func:`open_store`.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(settings, must_exist=must_exist, only_reads=only_reads, private_state=private_state)
        )
        yield Services(settings, store, stack, counted)


class Services:
    """Stateful objects of a process. Each is built at its first use and shared by all users.

    All code that reads layers or judges plugins must use these objects: limits on concurrent work and caches of results
    are per object.

    Args:
        settings: settings of the process.
        store: open local store.
        stack: exit stack that closes upstreams opened later.
        counted: called with every decision of the admission policy.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        stack: AsyncExitStack,
        counted: Callable[[PolicyAction], None] = _uncounted,
    ) -> None:
        self.settings = settings
        self.store = store
        self._stack = stack
        self._counted = counted
        # Each upstream is opened once for a process: circuit breakers and connections are per object.
        self._upstreams: dict[str, UpstreamRegistry] = {}

    @cached_property
    def rule_locks(self) -> RuleLocks:
        """Locks of mirror rules, shared by all processes on the data folder."""
        return RuleLocks(self.settings.storage.path)

    @cached_property
    def layers(self) -> SharedLayerReader:
        """Reader of layers, which limits the number of layers read at a time in this process."""
        from mirror.filters.shared_layers import SharedLayerReader

        return SharedLayerReader(self.settings.server.limits.of_layers())

    @cached_property
    def checker(self) -> PluginChecker | None:
        """Checker of pushed and mirrored plugins; None if ``server.plugin_checks`` is off."""
        checks = self.settings.server.plugin_checks
        if checks == "off":
            return None
        from mirror.filters.plugin_checks import PluginChecker

        return PluginChecker(self.store.records.findings.record_findings, self.layers, enforce=checks == "enforce")

    @cached_property
    def _admission_records(self) -> AdmissionRecords:
        from mirror.records.admission.verdicts import AdmissionRecords

        records = self.store.records
        return AdmissionRecords(records.verdicts, records.decisions, records.plugins, records.arrivals)

    @cached_property
    def key_files(self) -> KeyFiles:
        """Keys of the admission policy, as their files are at the first use."""
        from mirror.admission.key_files import KeyFiles

        found = KeyFiles.read(self.settings.admission.key_files)
        for fault in found.faults.values():
            _LOG.error("key of an admission rule cannot be used", reason=fault)
        return found

    @cached_property
    def policy(self) -> Policy | None:
        """The admission policy with its keys; None if every plugin is accepted."""
        return self.settings.admission.policy(self.key_files.keys)

    @cached_property
    def judge(self) -> AdmissionController:
        """Admission controller with the configured policy."""
        from mirror.filters.admission.admission_controller import AdmissionController

        # Layers may arrive after their manifest. The controller then has them checked as at a push.
        examine = None if self.checker is None else self.checker.examine
        return AdmissionController(
            self.policy, self._admission_records, _CLOCK, self._counted, layers=self.layers, examine=examine
        )

    @cached_property
    def ruleless_judge(self) -> AdmissionController:
        """Admission controller without a policy, for commands. Only rejections and unreadable plugins count."""
        from mirror.filters.admission.admission_controller import AdmissionController

        return AdmissionController(None, self._admission_records, _CLOCK, _uncounted)

    @cached_property
    def policy_id(self) -> str | None:
        """Fingerprint of the admission policy; None without a policy, for which the latest stored verdict is shown."""
        return None if self.policy is None else self.policy.fingerprint

    @cached_property
    def approvals(self) -> Approvals:
        """Service that approves and rejects plugins."""
        from mirror.admission.approvals import Approvals
        from mirror.admission.held_manifests import HeldManifests

        records = self.store.records
        held = HeldManifests(self.store, records.origins, records.incomplete, records.plugins.plugin_anywhere)
        return Approvals(held, records.decisions, records.verdicts, self.judge, _CLOCK)

    def matured(self, registry: Registry) -> MaturedPlugins:
        """Return a service that judges plugins of a registry again whose cooldown has ended."""
        from mirror.admission.matured_plugins import MaturedPlugins
        from mirror.records.admission.admissions import AdmissionState

        records = self.store.records
        held = partial(records.admissions.admissions, AdmissionState.HELD, self.policy_id)
        return MaturedPlugins(registry, held, records.plugins, records.arrivals, judge=self.judge, clock=_CLOCK)

    @cached_property
    def standing(self) -> PluginStanding:
        """Service that returns the admission of plugins, for commands."""
        from mirror.admission.standing import PluginStanding

        return PluginStanding(self.store, self.store.records.verdicts, self.ruleless_judge.judge, self.policy_id)

    def checked(self, registry: Registry) -> Registry:
        """Return a registry that checks and judges plugins before it stores them."""
        from mirror.filters.admission.admit import Admit
        from mirror.filters.plugin_checks import PluginChecks

        # Judged before checked: Admit is the outer registry, and refuses a plugin before its layers are checked.
        return Admit(registry if self.checker is None else PluginChecks(registry, self.checker), self.judge)

    def withheld(self, registry: Registry, plugins: PluginBlobs | None = None, *, shows_held: bool = False) -> Registry:
        """Return a registry for reading from outside, which withholds plugins that are not admitted.

        Args:
            registry: the registry.
            plugins: the plugins of the registry; None for those in the store.
            shows_held: True to serve held plugins all the same.
        """
        from mirror.filters.admission.admit import Withhold

        return Withhold(registry, self.judge, plugins, shows_held=shows_held)

    async def upstreams(self, names: Iterable[str]) -> dict[str, UpstreamRegistry]:
        """Return upstreams by name, as configured. Each is opened once and stays open as long as the store."""
        from mirror.app.upstream_registries import open_upstream

        wanted = sorted(set(names))
        for name in wanted:
            if name not in self._upstreams:
                self._upstreams[name] = await self._stack.enter_async_context(open_upstream(self.settings, name))
        return {name: self._upstreams[name] for name in wanted}
