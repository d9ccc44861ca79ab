"""Registries that a command works on: our own store, or what a reference names."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mirror.filters.admit import Admit, Withhold
from mirror.filters.judging import Judge
from mirror.filters.layer_reading import LayerReading
from mirror.filters.plugin_checks import PluginChecks
from mirror.oci.errors import ConfigurationFault
from mirror.plugin.policy import Action
from mirror.registry.port import Registry
from mirror.registry.verdicts import AdmissionRecords
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.settings.listen import Listen
from mirror.store.lock import RuleLocks
from mirror.store.open_sessions import SessionLimits
from mirror.store.registry import Store


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
    limits = settings.server.limits
    sessions = SessionLimits(limits.upload_sessions_per_client, limits.upload_sessions)
    async with Store.open(path, session_limits=sessions) as store:
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
    from mirror.upstream.proxies import Proxies
    from mirror.upstream.registry import UpstreamRegistry

    plain = plain_http or Listen.parse(host if ":" in host.rpartition("]")[2] else f"{host}:80").is_loopback
    url = f"{'http' if plain else 'https'}://{host}"
    async with UpstreamRegistry.open(
        name=host, url=url, plain_http=plain, proxies=Proxies(environment=os.environ)
    ) as registry:
        yield registry


def _uncounted(_action: Action) -> None:
    """For commands, whose decisions nobody counts."""


def layer_reading(settings: Settings) -> LayerReading:
    """What reads layers in this process: there is one, so that no more are read at a time than it allows."""
    return LayerReading(settings.server.limits.of_layers())


def checked(
    registry: Registry,
    store: Store,
    settings: Settings,
    layers: LayerReading,
    counted: Callable[[Action], None] = _uncounted,
) -> Registry:
    """A registry as it is written to: plugins are looked at, and judged, before they are taken.

    Args:
        registry: what is written to.
        store: remembers what was found and decided.
        settings: whether plugins are looked at, and the policy.
        layers: reads layers, for the whole process.
        counted: told of every decision.
    """
    checks = _checks(registry, store, settings, layers)
    return Admit(checks or registry, _judge(registry, store, settings, layers, counted))


def admitted(store: Store, settings: Settings) -> Registry:
    """Our store as what it holds gets another name: plugins are judged under it, and not looked at again."""
    return Admit(store, policy_judge(store, settings, layer_reading(settings)))


def policy_judge(store: Store, settings: Settings, layers: LayerReading) -> Judge:
    """The judge of our own store's plugins, by the policy. Arguments as for :func:`checked`."""
    return _judge(store, store, settings, layers, _uncounted)


def not_rejected(store: Store) -> Registry:
    """Our store as it takes what a copy with changes is made of: no rejected plugin, and nothing unreadable."""
    return Admit(store, judging(store))


def judging(store: Store) -> Judge:
    """What judges plugins of our own store without any rules: by what was rejected, and by what can be read."""
    return Judge(store, None, _admission_records(store), SystemClock(), _uncounted)


def withheld(
    registry: Registry, store: Store, settings: Settings, layers: LayerReading, counted: Callable[[Action], None]
) -> Registry:
    """A registry as it is read from outside: without plugins that are not let in. Arguments as for :func:`checked`."""
    return Withhold(registry, _judge(registry, store, settings, layers, counted))


def _judge(
    registry: Registry, store: Store, settings: Settings, layers: LayerReading, counted: Callable[[Action], None]
) -> Judge:
    checks = _checks(registry, store, settings, layers)
    examine = None if checks is None else checks.examine
    policy = settings.admission.policy()
    records = _admission_records(store)
    return Judge(registry, policy, records, SystemClock(), counted, layers=layers, examine=examine)


def _admission_records(store: Store) -> AdmissionRecords:
    return AdmissionRecords(store.records.verdicts, store.records.decisions, store.records.plugins)


def _checks(registry: Registry, store: Store, settings: Settings, layers: LayerReading) -> PluginChecks | None:
    checks, findings = settings.server.plugin_checks, store.records.findings
    return None if checks == "off" else PluginChecks(registry, findings, layers, enforce=checks == "enforce")


def rule_locks(settings: Settings) -> RuleLocks:
    """The locks of mirror rules, which all processes on the data folder share."""
    return RuleLocks(settings.storage.path.expanduser())
