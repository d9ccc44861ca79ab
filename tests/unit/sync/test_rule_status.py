from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from mirror.oci import Repository, Tag
from mirror.oci.errors import UpstreamBusy
from mirror.runtime.metrics.shared_metrics import SharedMetrics
from mirror.store.registry import Store
from mirror.sync.repository_run import RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.rule_status import RuleStatus, rule_statuses
from mirror.sync.run import run_rule
from mirror.sync.schedule import Every
from mirror.sync.sync_metrics import SyncMetrics, families
from tests.support.builders import hold, plugin
from tests.support.clocks import HandClock
from tests.unit.sync.conftest import Upstream

THERE, HERE = Repository("acme/driver"), Repository("driver")
ONE, TWO = plugin(b"{}", b"one"), plugin(b"{}", b"two")
RULE = MirrorRule.parse(
    "acme", "hub/acme/driver", "driver", schedule=Every(timedelta(hours=6)), pins={"1": str(ONE.digest)}
)


async def state_of(here: Store, clock: HandClock, *, running: bool = False) -> RuleStatus:
    async def is_running(_rule: str) -> bool:
        return running

    (state,) = await rule_statuses([RULE], here.records.sync_runs, is_running, clock.now())
    return state


async def test_a_rule_that_never_ran(here: Store, clock: HandClock) -> None:
    state = await state_of(here, clock)
    assert (state.state, state.last_run, state.lag_seconds) == ("never run", None, None)
    assert state.next_run_at is not None


async def test_how_a_rule_stands(upstream: Upstream, here: Store, context: RunContext, clock: HandClock) -> None:
    await hold(upstream, THERE, [b"{}", b"one", b"two"], [TWO, ONE], "1", "2")
    await run_rule(RULE, upstream, here, context)
    await upstream.put_manifest(THERE, TWO, [Tag("1")])
    await upstream.delete_tag(THERE, Tag("2"))
    clock.advance(hours=6)
    await run_rule(RULE, upstream, here, context)
    clock.advance(minutes=5)
    state = await state_of(here, clock)
    assert (state.state, state.lag_seconds, len(state.held)) == ("succeeded", 300, 2)
    assert [tag.tag.name for tag in state.gone] == ["2"]
    assert [(tag.tag.name, tag.upstream_digest) for tag in state.behind] == [("1", TWO.digest)]
    assert [event.change.value for event in state.events] == ["gone", "held", "appeared", "appeared"]
    shown = json.loads(json.dumps(state.to_json()))
    assert (shown["schedule"], shown["from"], shown["to"]) == ("every 6h", "hub/acme/driver", "driver")
    assert [(entry["tag"], entry["outcome"]) for entry in shown["last_entries"]] == [("1", "skipped"), ("2", "gone")]
    assert shown["last_success_at"] == "2026-01-02T09:04:00Z"


async def test_a_rule_that_was_edited_is_due_and_not_called_succeeded(
    upstream: Upstream, here: Store, context: RunContext, clock: HandClock
) -> None:
    async def nobody(_rule: str) -> bool:
        return False

    async def state(rule: MirrorRule) -> RuleStatus:
        return (await rule_statuses([rule], here.records.sync_runs, nobody, clock.now()))[0]

    await hold(upstream, THERE, [b"{}", b"one", b"two"], [ONE], "1")
    await run_rule(RULE, upstream, here, context)
    said, edited = replace(RULE, fingerprint="a"), replace(RULE, fingerprint="b")
    assert ((await state(said)).state, (await state(said)).is_changed) == ("succeeded", False)  # unknown before
    await run_rule(said, upstream, here, context)
    assert (await state(said)).state == "succeeded"
    clock.advance(minutes=1)
    changed = await state(edited)
    assert (changed.state, changed.to_json()["changed_since_last_run"]) == ("changed", True)
    assert changed.next_run_at is not None
    assert changed.next_run_at <= clock.now()
    await run_rule(edited, upstream, here, context)
    assert (await state(edited)).state == "succeeded"
    clock.advance(minutes=1)
    waits = await state(edited)
    assert waits.next_run_at is not None
    assert waits.next_run_at > clock.now()


async def test_a_run_that_nobody_is_at_was_interrupted(here: Store, clock: HandClock) -> None:
    await here.records.sync_runs.begin_run("acme")
    assert (await state_of(here, clock, running=True)).state == "running"
    interrupted = await state_of(here, clock, running=False)
    assert (interrupted.state, interrupted.failure) == ("interrupted", interrupted.last_run)


async def test_a_run_that_begins_after_the_question_is_running(here: Store, clock: HandClock) -> None:
    answers = iter([False, True])

    async def is_running(_rule: str) -> bool:
        answer = next(answers)
        if not answer:
            await here.records.sync_runs.begin_run("acme")
        return answer

    (state,) = await rule_statuses([RULE], here.records.sync_runs, is_running, clock.now())
    assert (state.state, next(answers, None)) == ("running", None)


async def test_a_rule_fails_until_a_run_succeeds(
    upstream: Upstream, here: Store, context: RunContext, clock: HandClock
) -> None:
    await run_rule(RULE, upstream, here, context)  # there is nothing there
    await here.records.sync_runs.begin_run("acme")
    state = await state_of(here, clock, running=True)
    assert (state.state, state.failure) == ("running", state.runs[1])
    await hold(upstream, THERE, [b"{}", b"one"], [ONE], "1")
    await run_rule(RULE, upstream, here, context)
    assert (await state_of(here, clock)).failure is None


async def test_runs_are_counted(upstream: Upstream, here: Store, context: RunContext) -> None:
    shared_metrics = SharedMetrics(families(["acme", "other"]))
    counted = SyncMetrics(shared_metrics.slot(), ["acme", "other"])
    await hold(upstream, THERE, [b"{}", b"one"], [ONE], "1")
    counted.ran(await run_rule(RULE, upstream, here, context))
    upstream.inner = type(upstream.inner)()  # everything is lost there
    counted.ran(await run_rule(MirrorRule.parse("other", "hub/nowhere", "other"), upstream, here, context))
    upstream.lists = UpstreamBusy("answered 429", status=429)
    counted.ran(await run_rule(RULE, upstream, here, context))
    numbers = {
        (family.name, *labels): cells[0]
        for family, series in shared_metrics.sums()
        for labels, cells in series
        if cells[0]
    }
    assert numbers == {
        ("plugin_mirror_rule_runs_total", "acme", "succeeded"): 1,
        ("plugin_mirror_rule_runs_total", "acme", "paused"): 1,
        ("plugin_mirror_rule_runs_total", "other", "failed"): 1,
        ("plugin_mirror_rule_tags_total", "acme", "copied"): 1,
        ("plugin_mirror_rule_tags_total", "other", "failed"): 1,
        ("plugin_mirror_rule_errors_total", "acme", "busy"): 1,
        ("plugin_mirror_rule_errors_total", "other", "not_found"): 1,
        ("plugin_mirror_rule_received_bytes_total", "acme"): len(b"{}one"),
    }
