"""Mirror rules, run or looked at by a command."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from mirror.app.services import Services, open_services
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.sync.desk import Desk
from mirror.sync.preview import RulePreview, preview_rule
from mirror.sync.rule import MirrorRule
from mirror.sync.runner import Summary, run_rules, source_of
from mirror.sync.state import RuleState, rule_states
from mirror.transfer.concurrency import Turns
from mirror.transfer.progress import Reporter, SilentReporter

_CLOCK = SystemClock()


async def sync(settings: Settings, names: Sequence[str], reporter: Reporter) -> Summary:
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
        desk = Desk(runs, derivations, services.layers.of(store), _CLOCK, reporter, Turns(store.downloads))
        return await run_rules(rules, sources, services.checked(store), services.rule_locks, desk)


async def preview_sync(settings: Settings, names: Sequence[str]) -> list[RulePreview]:
    """What :func:`sync` would do. Raises as it does; nothing is changed, and no data folder is made."""
    rules = chosen([section.rule() for section in settings.mirrors], names)
    path = settings.storage.path.expanduser()
    async with AsyncExitStack() as stack:
        if not path.is_dir():  # a first look, before there is anything
            folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="plugin-mirror-")
            path = Path(stack.enter_context(folder))
        store = await stack.enter_async_context(Store.open(path))
        services = Services(settings, store, stack)
        sources = await services.upstreams(_sources(rules))
        runs, derivations = store.records.sync_runs, store.records.derivations
        desk = Desk(runs, derivations, services.layers.of(store), _CLOCK, SilentReporter(), Turns())
        return [await preview_rule(rule, source_of(rule, sources), store, desk) for rule in rules]


async def mirror_states(settings: Settings) -> list[RuleState]:
    """How the mirror rules stand, by what is noted in the store."""
    rules = [section.rule() for section in settings.mirrors]
    async with open_services(settings, must_exist=True) as services:
        runs = services.store.records.sync_runs
        return await rule_states(rules, runs, services.rule_locks.is_held, _CLOCK.now())


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
