"""Stateful parts of a process on our own data folder, each built once, for commands and for processes that serve."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from mirror.admission.approvals import Approvals
from mirror.admission.held_manifests import HeldManifests
from mirror.admission.standing import PluginStanding
from mirror.filters.admission.admission_controller import AdmissionController
from mirror.filters.admission.admit import Admit, Withhold
from mirror.filters.plugin_checks import PluginChecker, PluginChecks
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci.errors import ConfigurationFault
from mirror.plugin.policy.admission_policy import PolicyAction
from mirror.records.verdicts import AdmissionRecords
from mirror.registry.port import Registry
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.store.rule_locks import RuleLocks

if TYPE_CHECKING:
    from mirror.upstream.registry import UpstreamRegistry

_CLOCK = SystemClock()


def _uncounted(_action: PolicyAction) -> None:
    """Count no decision: commands have no metrics."""


@asynccontextmanager
async def open_store(settings: Settings, *, must_exist: bool = False) -> AsyncIterator[Store]:
    """Open our own store.

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
    async with Store.open(path, session_limits=settings.server.limits.of_sessions()) as store:
        yield store


@asynccontextmanager
async def open_services(
    settings: Settings, *, must_exist: bool = False, counted: Callable[[PolicyAction], None] = _uncounted
) -> AsyncIterator[Services]:
    """Open our own store, with all that works on it. Leaving closes the store and the upstreams.

    Args:
        settings: all of them.
        must_exist: as for :func:`open_store`.
        counted: told of every decision of the admission policy.

    Raises:
        ConfigurationFault, StorageFault: as :func:`open_store`.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, must_exist=must_exist))
        yield Services(settings, store, stack, counted)


class Services:
    """Stateful parts of a process. Each is built when it is first asked for, and shared by all who ask.

    Whoever reads layers or judges plugins must have them from here: limits on work at a time, and what was found out
    before, are per instance.

    Args:
        settings: all of them.
        store: our own, open.
        stack: closes what is opened later.
        counted: told of every decision of the admission policy.
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
        self._upstreams: dict[str, UpstreamRegistry] = {}

    @cached_property
    def rule_locks(self) -> RuleLocks:
        """Locks of mirror rules, which all processes on the data folder share."""
        return RuleLocks(self.settings.storage.path.expanduser())

    @cached_property
    def layers(self) -> SharedLayerReader:
        """Reads layers, no more at a time than the process may."""
        return SharedLayerReader(self.settings.server.limits.of_layers())

    @cached_property
    def checker(self) -> PluginChecker | None:
        """Checks plugins that come; None where ``server.plugin_checks`` is off."""
        checks = self.settings.server.plugin_checks
        if checks == "off":
            return None
        return PluginChecker(self.store.records.findings.record_findings, self.layers, enforce=checks == "enforce")

    @cached_property
    def _admission_records(self) -> AdmissionRecords:
        records = self.store.records
        return AdmissionRecords(records.verdicts, records.decisions, records.plugins)

    @cached_property
    def judge(self) -> AdmissionController:
        """Judges plugins by the admission policy."""
        examine = None if self.checker is None else self.checker.examine
        policy = self.settings.admission.policy()
        return AdmissionController(
            policy, self._admission_records, _CLOCK, self._counted, layers=self.layers, examine=examine
        )

    @cached_property
    def ruleless_judge(self) -> AdmissionController:
        """Judges plugins without the policy: by rejections, and by what can be read. For commands."""
        return AdmissionController(None, self._admission_records, _CLOCK, _uncounted)

    @cached_property
    def policy_id(self) -> str | None:
        """Fingerprint of the admission policy; None: there is none, and the verdict that was given last is told."""
        policy = self.settings.admission.policy()
        return None if policy is None else policy.fingerprint

    @cached_property
    def approvals(self) -> Approvals:
        """Approves and rejects plugins."""
        records = self.store.records
        held = HeldManifests(self.store, records.origins, records.incomplete, records.plugins.plugin_anywhere)
        return Approvals(held, records.decisions, records.verdicts, self.judge, _CLOCK)

    @cached_property
    def standing(self) -> PluginStanding:
        """Tells how plugins stand, for commands."""
        return PluginStanding(self.store, self.store.records.verdicts, self.ruleless_judge.judge, self.policy_id)

    def checked(self, registry: Registry) -> Registry:
        """A registry as it is written to: plugins are checked and judged before they are taken."""
        return Admit(registry if self.checker is None else PluginChecks(registry, self.checker), self.judge)

    def withheld(self, registry: Registry) -> Registry:
        """A registry as it is read from outside: without plugins that are not let in."""
        return Withhold(registry, self.judge)

    async def upstreams(self, names: Iterable[str]) -> dict[str, UpstreamRegistry]:
        """Upstreams by name, as their sections have them. Each is opened once, and stays open as the store does."""
        from mirror.app.upstream_registries import open_upstream

        wanted = sorted(set(names))
        for name in wanted:
            if name not in self._upstreams:
                self._upstreams[name] = await self._stack.enter_async_context(open_upstream(self.settings, name))
        return {name: self._upstreams[name] for name in wanted}
