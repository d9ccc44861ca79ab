"""Mirror rules, run, tried or looked at by a command."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path

from mirror.app.services import Services, open_services
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.sync.dry_run import dry_run_context
from mirror.sync.dry_run_registry import DryRunRegistry
from mirror.sync.repository_run import RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.rule_status import RuleStatus, rule_statuses
from mirror.sync.run import run_rules
from mirror.sync.run_result import RunSummary
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.progress_reporting import Reporter, SilentReporter

_CLOCK = SystemClock()


async def sync(settings: Settings, names: Sequence[str], reporter: Reporter) -> RunSummary:
    """Run mirror rules now, beside a server that may be running on the same data.

    Args:
        settings: rules, upstreams, and where the store is.
        names: rules to run; empty: all.
        reporter: told of each tag.

    Raises:
        ConfigurationFault: no such rule, or none at all. StorageFault: the store cannot be opened.
    """
    rules = chosen([section.rule() for section in settings.mirrors], names)
    async with open_services(settings) as services:
        store, sources = services.store, await services.upstreams(_sources(rules))
        runs, derivations = store.records.sync_runs, store.records.derivations
        context = RunContext(runs, derivations, services.layers.of(store), _CLOCK, reporter, BlobLocks(store.downloads))
        return await run_rules(rules, sources, services.checked(store), services.rule_locks, context)


async def dry_run(settings: Settings, names: Sequence[str]) -> RunSummary:
    """Tell what :func:`sync` would do. Raises as it does; nothing is changed, and no data folder is made."""
    rules = chosen([section.rule() for section in settings.mirrors], names)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_existing_store(settings))
        services = Services(settings, store, stack)
        sources = await services.upstreams(_sources(rules))
        registry = DryRunRegistry(store, store.find_blob, store.downloads)
        runs, derivations = store.records.sync_runs, store.records.derivations
        real = RunContext(runs, derivations, services.layers.of(store), _CLOCK, SilentReporter(), BlobLocks())
        upstreams = {name: registry.source(source) for name, source in sources.items()}
        return await run_rules(rules, upstreams, registry, nullcontext, dry_run_context(real, registry))


async def mirror_statuses(settings: Settings) -> list[RuleStatus]:
    """Read the status of the mirror rules, as it is noted in the store."""
    rules = [section.rule() for section in settings.mirrors]
    async with open_services(settings, must_exist=True) as services:
        runs = services.store.records.sync_runs
        return await rule_statuses(rules, runs, services.rule_locks.is_held, _CLOCK.now())


@asynccontextmanager
async def _existing_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store; an empty one in a folder of its own where there is none yet."""
    path = settings.storage.path.expanduser()
    if path.is_dir():
        async with Store.open(path) as store:
            yield store
        return
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="plugin-mirror-")
    with folder as made:
        async with Store.open(Path(made)) as store:
            yield store


def _sources(rules: Sequence[MirrorRule]) -> set[str]:
    return {rule.source for rule in rules}


def chosen(rules: Sequence[MirrorRule], names: Sequence[str]) -> list[MirrorRule]:
    """The rules of those names, in the order of the configuration; all of them where there are no names.

    Raises:
        ConfigurationFault: there is no such rule, or none at all.
    """
    known = {rule.name: rule for rule in rules}
    if not known:
        raise ConfigurationFault("the configuration has no mirror rules: write one under mirrors:, see config/")
    if unknown := [name for name in names if name not in known]:
        raise ConfigurationFault(f"no mirror rule is named {unknown[0]!r} (rules: {', '.join(sorted(known))})")
    return [rule for rule in rules if not names or rule.name in names]
