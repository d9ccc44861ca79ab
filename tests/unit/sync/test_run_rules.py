from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from mirror.oci import Repository
from mirror.oci.errors import Busy, ConfigurationFault
from mirror.records.sync_runs import TagOutcome
from mirror.store.registry import Store
from mirror.sync.repository_run import RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.run import run_rules
from tests.support.builders import hold, plugin
from tests.unit.sync.conftest import Told, ToldTag, Upstream

CONFIG, LAYER = b"{}\n", b"layer"


class Locks(Told):
    """Locks of rules, some of which another process holds. Records the tags that are begun under each lock."""

    def __init__(self, *taken: str) -> None:
        super().__init__()
        self.events: list[str] = []
        self._taken = set(taken)

    @asynccontextmanager
    async def __call__(self, rule_name: str) -> AsyncIterator[None]:
        if rule_name in self._taken:
            raise Busy(f"rule {rule_name} is being run by another process")
        self.events.append(f"+{rule_name}")
        yield
        self.events.append(f"-{rule_name}")

    def begin(self, label: str) -> ToldTag:
        self.events.append(label)
        return super().begin(label)


@pytest.fixture
async def hub(upstream: Upstream) -> Upstream:
    await hold(upstream, Repository("a/one"), [CONFIG, LAYER], [plugin(CONFIG, LAYER)], "1")
    await hold(upstream, Repository("a/two"), [CONFIG, LAYER], [plugin(CONFIG, LAYER)], "1", "2")
    return upstream


async def test_rules_run_in_order_each_under_its_lock(hub: Upstream, here: Store, context: RunContext) -> None:
    locks = Locks()
    rules = [MirrorRule.parse("second", "hub/a/two", "two"), MirrorRule.parse("first", "hub/a/one", "one")]
    summary = await run_rules(rules, {"hub": hub}, here, locks, replace(context, reporter=locks))
    assert locks.events == ["+second", "two:2", "two:1", "-second", "+first", "one:1", "-first"]
    assert (summary.count(TagOutcome.COPIED), summary.count(TagOutcome.FAILED), summary.succeeded) == (3, 0, True)
    assert summary.moved_bytes == len(CONFIG + LAYER)


async def test_one_rule_that_fails_does_not_stop_the_others(hub: Upstream, here: Store, context: RunContext) -> None:
    locks = Locks("busy")
    rules = [
        MirrorRule.parse("busy", "hub/a/one", "busy"),
        MirrorRule.parse("lost", "quay/a/one", "lost"),
        MirrorRule.parse("typo", "hub/a/three", "three"),
        MirrorRule.parse("good", "hub/a/one", "one"),
    ]
    summary = await run_rules(rules, {"hub": hub}, here, locks, context)
    busy, lost, typo, good = summary.rules
    assert isinstance(busy.error, Busy)
    assert isinstance(lost.error, ConfigurationFault)
    assert "'quay', which is not configured as an upstream; configured: hub" in str(lost.error)
    assert len(typo.failed) == 1
    assert good.succeeded
    assert (summary.count(TagOutcome.COPIED), summary.count(TagOutcome.FAILED), summary.succeeded) == (1, 3, False)
    assert locks.events[-1] == "-good"
