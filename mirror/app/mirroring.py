"""Commands that run, try or show mirror rules."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path

from mirror.app.services import Services, has_data_folder, open_services, open_store
from mirror.lifecycle.content_holding import holding
from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault
from mirror.records.lifecycle.content_holders import HolderPurpose
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.sync.dry_run import dry_run_context
from mirror.sync.dry_run_registry import DryRunRegistry
from mirror.sync.repository_run import Hold, RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.rule_status import RuleStatus, rule_statuses
from mirror.sync.run import run_rules
from mirror.sync.run_result import RunSummary
from mirror.sync.source.sparing_source import SparingSource
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.progress_reporting import Reporter, SilentReporter
from mirror.upstream.registry import UpstreamRegistry

_CLOCK = SystemClock()


async def sync(settings: Settings, names: Sequence[str], reporter: Reporter) -> RunSummary:
    """Run mirror rules now. A server may be running on the same data folder.

    Args:
        settings: mirror rules, upstreams, and the location of the store.
        names: names of the rules to run; empty for all rules.
        reporter: receiver of the progress of each tag.

    Raises:
        ConfigurationFault: a rule does not exist, or there are no rules.
        StorageFault: the store cannot be opened.
    """
    configured = [section.rule() for section in settings.mirrors]
    rules = chosen(configured, names)
    async with open_services(settings) as services:
        store, sources = services.store, await services.upstreams(_sources(rules))
        runs, derivations = store.records.sync_runs, store.records.derivations
        layers, locks, absent = services.layers.of(store), BlobLocks(store.downloads), store.records.absent
        context = RunContext(
            runs,
            derivations,
            layers,
            _CLOCK,
            reporter,
            locks,
            rules=configured,
            hold=held_for_sync(store),
            absent=absent,
        )
        return await run_rules(rules, sparing(sources, store), services.checked(store), services.rule_locks, context)


async def dry_run(settings: Settings, names: Sequence[str]) -> RunSummary:
    """Return the result that :func:`sync` would have.

    Raises the errors of :func:`sync`. Changes nothing and creates no data folder.
    """
    configured = [section.rule() for section in settings.mirrors]
    rules = chosen(configured, names)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(existing_store(settings))
        services = Services(settings, store, stack)
        # The same runner as in sync, with a destination that keeps nothing, so that the result is that of a run.
        sources = await services.upstreams(_sources(rules))
        registry = DryRunRegistry(store, store.find_blob, store.downloads, store.check_deletable)
        runs, derivations = store.records.sync_runs, store.records.derivations
        layers, reporter, absent = services.layers.of(store), SilentReporter(), store.records.absent
        real = RunContext(runs, derivations, layers, _CLOCK, reporter, BlobLocks(), rules=configured, absent=absent)
        upstreams = {name: registry.source(source) for name, source in sparing(sources, store).items()}
        # No rule locks: a dry run writes nothing, and need not wait for a run.
        return await run_rules(rules, upstreams, registry, nullcontext, dry_run_context(real, registry))


async def mirror_statuses(settings: Settings) -> list[RuleStatus]:
    """Return the status of the mirror rules as recorded in the store."""
    rules = [section.rule() for section in settings.mirrors]
    async with open_services(settings, only_reads=True) as services:
        runs = services.store.records.sync_runs
        return await rule_statuses(rules, runs, services.rule_locks.is_held, _CLOCK.now())


@asynccontextmanager
async def existing_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store. Without a data folder, open an empty store in a temporary folder."""
    path = settings.storage.path
    if has_data_folder(path):
        async with open_store(settings, only_reads=True) as store:
            yield store
        return
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="plugin-mirror-")
    with folder as made:
        async with Store.open(Path(made)) as store:
            yield store


def sparing(upstreams: Mapping[str, UpstreamRegistry], store: Store) -> dict[str, SparingSource]:
    """Return upstreams of which mirror rules read no manifest that the store holds."""
    find_held = store.records.sync_runs.held_manifest
    return {name: SparingSource(upstream, find_held) for name, upstream in upstreams.items()}


def held_for_sync(store: Store) -> Hold:
    """Return a function that holds the content of a repository while a rule copies its tags."""

    def hold(repository: Repository) -> AbstractAsyncContextManager[None]:
        return holding(store.records.holders, HolderPurpose.SYNC, repository.name, [(repository, None)])

    return hold


def _sources(rules: Sequence[MirrorRule]) -> set[str]:
    return {rule.source for rule in rules}


def chosen(rules: Sequence[MirrorRule], names: Sequence[str]) -> list[MirrorRule]:
    """Return the rules with these names in the order of the configuration; all rules if ``names`` is empty.

    Raises:
        ConfigurationFault: a rule does not exist, or there are no rules.
    """
    known = {rule.name: rule for rule in rules}
    if not known:
        raise ConfigurationFault(
            "the configuration has no mirror rules; fix: add one under mirrors:, with the keys that 'plugin-mirror "
            "config schema' describes"
        )
    if unknown := [name for name in names if name not in known]:
        raise ConfigurationFault(f"no mirror rule is named {unknown[0]!r}; fix: name one of {', '.join(sorted(known))}")
    return [rule for rule in rules if not names or rule.name in names]
