"""Mirror rules that run on schedule. The tests use the machine's clock and short intervals."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Repository
from mirror.oci.errors import StorageFull
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS
from mirror.records.sync_runs import RunOutcome
from mirror.runtime.clock import SystemClock
from mirror.store.registry import Store
from mirror.store.work_locks import RuleLocks
from mirror.sync import scheduler
from mirror.sync.repository_run import RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.run_result import RuleResult
from mirror.sync.schedule import Every
from mirror.sync.scheduler import RuleScheduler
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.progress_reporting import SilentReporter
from tests.support.builders import hold, plugin
from tests.support.waiting import until
from tests.unit.sync.conftest import Upstream

CLOCK = SystemClock()
PERIOD = timedelta(milliseconds=300)
RULE = MirrorRule.parse("acme", "hub/acme/driver", "driver", schedule=Every(PERIOD))
# The share of the longest delay follows from the name of a rule. It is 0.0003 for this name.
DAILY = MirrorRule.parse("acme-275", "hub/acme/driver", "driver", schedule=Every(timedelta(days=1)))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_PAUSE_BUSY_SECONDS", 0.05)
    monkeypatch.setattr(scheduler, "_PAUSE_FAILED_SECONDS", 0.05)


@pytest.fixture
async def hub(upstream: Upstream) -> Upstream:
    await hold(upstream, Repository("acme/driver"), [b"{}", b"layer"], [plugin(b"{}", b"layer")], "1")
    return upstream


class CountedLocks(RuleLocks):
    """Locks of rules.

    Attributes:
        asked: how often a lock was asked for.
    """

    asked = 0

    def __call__(self, rule_name: str) -> AbstractAsyncContextManager[None]:
        self.asked += 1
        return super().__call__(rule_name)


class Process:
    """The part of a server process that follows mirror rules."""

    def __init__(self, hub: Upstream, store: Store, data: Path, *rules: MirrorRule) -> None:
        self.results: list[RuleResult] = []
        runs, derivations = store.records.sync_runs, store.records.derivations
        layers = SharedLayerReader(DEFAULT_LIMITS).of(store)
        self.context = context = RunContext(
            runs, derivations, layers, CLOCK, SilentReporter(), BlobLocks(), absent=store.records.absent
        )
        self.locks = CountedLocks(data)
        following = RuleScheduler({"hub": hub}, store, self.locks, runs, context, self.results.append)
        self.task = asyncio.create_task(following.run(rules))

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled()


@asynccontextmanager
async def processes(hub: Upstream, data: Path, count: int, *rules: MirrorRule) -> AsyncIterator[list[Process]]:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(Store.open(data)) for _ in range(count)]
        running = [Process(hub, store, data, *rules) for store in stores]
        for process in running:
            stack.push_async_callback(process.end)
        yield running


async def until_there_are(results: int, *running: Process) -> None:
    await until(lambda: sum(len(process.results) for process in running) >= results)


async def test_each_run_is_done_by_one_of_several_processes_and_not_before_its_time(
    hub: Upstream, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    async with processes(hub, data, 3, RULE) as running:
        await until_there_are(4, *running)
    async with Store.open(data) as store:
        runs = sorted(run.started_at for run in await store.records.sync_runs.runs("acme", 100))
    assert all(later - earlier >= PERIOD for earlier, later in itertools.pairwise(runs))


async def test_a_rule_that_runs_elsewhere_is_left_alone(hub: Upstream, tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with Store.open(data), RuleLocks(data)("acme"), processes(hub, data, 1, RULE) as (process,):
        await until(lambda: process.locks.asked >= 3)
        assert process.results == []


async def test_a_rule_without_a_schedule_runs_only_when_it_is_told_to(hub: Upstream, tmp_path: Path) -> None:
    by_hand = MirrorRule.parse("by-hand", "hub/acme/driver", "other")
    async with processes(hub, tmp_path / "data", 1, RULE, by_hand) as (process,):
        await until_there_are(2, process)
    assert {result.rule for result in process.results} == {"acme"}


async def test_what_fails_in_any_way_is_tried_again(hub: Upstream, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    failures = [StorageFull("no space left"), RuntimeError("a mistake of ours")]
    run_rule = scheduler.run_rule

    async def fails_at_first(*arguments) -> RuleResult:  # type: ignore[no-untyped-def]
        if failures:
            raise failures.pop()
        return await run_rule(*arguments)

    monkeypatch.setattr(scheduler, "run_rule", fails_at_first)
    async with processes(hub, tmp_path / "data", 1, RULE) as (process,):
        await until_there_are(1, process)
    assert process.results[0].succeeded


async def test_a_run_that_is_stopped_goes_on_in_the_next_process(hub: Upstream, tmp_path: Path) -> None:
    data = tmp_path / "data"
    rarely = MirrorRule.parse("acme", "hub/acme/driver", "driver", schedule=Every(timedelta(seconds=30)))
    begun = asyncio.Event()

    class Stuck(Upstream):
        async def list_tags(self, repository, page):  # type: ignore[no-untyped-def]
            begun.set()
            await asyncio.Event().wait()

    async with processes(Stuck(), data, 1, rarely):
        async with asyncio.timeout(40):  # the scheduler delays the first run
            await begun.wait()
    async with Store.open(data) as store:
        assert [run.outcome for run in await store.records.sync_runs.runs("acme", 5)] == [RunOutcome.INTERRUPTED]
    async with processes(hub, data, 1, rarely) as (process,):
        await until(lambda: process.results)
    assert process.results[0].succeeded


async def test_a_rule_that_was_edited_runs_at_once_in_the_process_that_knows_it(hub: Upstream, tmp_path: Path) -> None:
    before, edited = replace(DAILY, fingerprint="before"), replace(DAILY, fingerprint="edited")
    async with processes(hub, tmp_path / "data", 1, before) as (old,):
        await until_there_are(1, old)
        async with processes(hub, tmp_path / "data", 1, edited) as (new,):
            await until_there_are(1, new)
            # A further process with the earlier configuration: the last run is older than its start.
            async with processes(hub, tmp_path / "data", 1, before) as (other,):
                await until_there_are(1, other)
            assert (len(old.results), len(new.results)) == (1, 1)


async def test_processes_with_different_configurations_do_not_take_turns(hub: Upstream, tmp_path: Path) -> None:
    before, edited = replace(DAILY, fingerprint="before"), replace(DAILY, fingerprint="edited")
    async with Store.open(tmp_path / "data") as store:
        process = Process(hub, store, tmp_path / "data", before)
        await until_there_are(1, process)
        await process.end()  # the other process would hold the lock of the rule from here to the end of its run
        run = await store.records.sync_runs.begin_run(DAILY.name, "edited")  # by another process, started later
        await store.records.sync_runs.end_run(replace(run, ended_at=CLOCK.now(), outcome=RunOutcome.SUCCEEDED))
        known = await store.records.sync_runs.rule_record(DAILY.name)
        assert (before.has_changed_since(known), edited.has_changed_since(known)) == (True, False)
        scheduler_of_now = RuleScheduler(
            {}, store, process.locks, store.records.sync_runs, process.context, process.results.append
        )
        opened_at = run.started_at - timedelta(seconds=1)
        assert await scheduler_of_now._due_in(before, Every(timedelta(days=1)), opened_at) > timedelta(hours=23)
        assert await scheduler_of_now._due_in(before, Every(timedelta(days=1)), CLOCK.now()) <= timedelta(minutes=1)
