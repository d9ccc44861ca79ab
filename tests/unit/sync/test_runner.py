from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mirror.oci.errors import ConfigurationFault, StorageFault
from mirror.oci.names import Repository
from mirror.registry.memory import MemoryRegistry
from mirror.sync.rule import MirrorRule
from mirror.sync.runner import run_rules
from mirror.transfer.progress import Outcome
from tests.unit.transfer.content import hold, plugin

CONFIG, LAYER = b"{}\n", b"layer"


class Locks:
    """Locks by name; each may be held once at a time, and some are held by another."""

    def __init__(self, *taken: str) -> None:
        self.events: list[str] = []
        self._taken = set(taken)

    @asynccontextmanager
    async def __call__(self, rule_name: str) -> AsyncIterator[None]:
        if rule_name in self._taken:
            raise StorageFault(f"rule {rule_name} is being run by another process")
        self._taken.add(rule_name)
        self.events.append(f"+{rule_name}")
        try:
            yield
        finally:
            self._taken.discard(rule_name)
            self.events.append(f"-{rule_name}")


class Beginnings:
    def __init__(self, locks: Locks) -> None:
        self._locks = locks

    def begin(self, label: str) -> None:
        self._locks.events.append(label)

    def expect(self, total_bytes: int) -> None: ...
    def advance(self, size_bytes: int) -> None: ...
    def done(self, outcome: Outcome, reason: str = "") -> None: ...


@pytest.fixture
async def hub() -> MemoryRegistry:
    made = MemoryRegistry()
    await hold(made, Repository("a/one"), [CONFIG, LAYER], [plugin(CONFIG, LAYER)], "1")
    await hold(made, Repository("a/two"), [CONFIG, LAYER], [plugin(CONFIG, LAYER)], "1", "2")
    return made


async def test_rules_run_in_order_each_under_its_lock(hub: MemoryRegistry) -> None:
    locks = Locks()
    rules = [MirrorRule.parse("second", "hub/a/two", "two"), MirrorRule.parse("first", "hub/a/one", "one")]
    summary = await run_rules(rules, {"hub": hub}, MemoryRegistry(), locks, Beginnings(locks))
    assert locks.events == ["+second", "two:2", "two:1", "-second", "+first", "one:1", "-first"]
    assert (summary.copied, summary.unchanged, summary.failed, summary.succeeded) == (3, 0, 0, True)
    assert summary.moved_bytes == len(CONFIG + LAYER)


async def test_one_rule_that_fails_does_not_stop_the_others(hub: MemoryRegistry) -> None:
    locks = Locks("busy")
    rules = [
        MirrorRule.parse("busy", "hub/a/one", "busy"),
        MirrorRule.parse("lost", "quay/a/one", "lost"),
        MirrorRule.parse("typo", "hub/a/three", "three"),
        MirrorRule.parse("good", "hub/a/one", "one"),
    ]
    summary = await run_rules(rules, {"hub": hub}, MemoryRegistry(), locks, Beginnings(locks))
    busy, lost, typo, good = summary.rules
    assert isinstance(busy.error, StorageFault)
    assert isinstance(lost.error, ConfigurationFault)
    assert "'quay', which is no upstream: hub are configured" in str(lost.error)
    assert len(typo.failed) == 1
    assert good.succeeded
    assert (summary.copied, summary.failed, summary.succeeded) == (1, 3, False)
    assert locks.events[-1] == "-good"


async def test_a_second_run_is_unchanged(hub: MemoryRegistry) -> None:
    locks, here = Locks(), MemoryRegistry()
    rules = [MirrorRule.parse("all", "hub/a/*", "*")]
    await run_rules(rules, {"hub": hub}, here, locks, Beginnings(locks))
    summary = await run_rules(rules, {"hub": hub}, here, locks, Beginnings(locks))
    assert (summary.copied, summary.unchanged, summary.moved_bytes) == (0, 3, 0)
