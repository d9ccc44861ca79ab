"""Records of mirror runs: interruptions, retention, and caches that stay valid."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import Busy
from mirror.records.lifecycle.pull_counts import PullCount
from mirror.records.sync_runs import MirroredTag, Run, RunOutcome, RunStep, TagChange, TagEvent, TagOutcome, TagRecord
from mirror.store.records import sql_sync_runs
from mirror.store.registry import Store
from mirror.store.work_locks import RuleLocks

NAME, TAG = Repository("acme/driver"), Tag("1.0")
A, B = Digest.of(b"a"), Digest.of(b"b")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BROUGHT = MirroredTag(NAME, TAG, "acme", "hub", Repository("store/driver"), A, B, NOON, gone_at=NOON)
MOVED = TagEvent(NAME, TAG, NOON, TagChange.MOVED, A, B, "hub/store/driver", ("+ network: host",))


def ended(run: Run, outcome: RunOutcome = RunOutcome.SUCCEEDED) -> Run:
    return replace(run, ended_at=run.started_at + timedelta(seconds=1), outcome=outcome, copied=1, reason="x")


async def test_what_is_noted_is_read_back(store: Store) -> None:
    run = await store.records.sync_runs.begin_run("acme")
    assert await store.records.sync_runs.runs("acme", 5) == [run]
    entries = [
        TagRecord(NAME, TAG, TagOutcome.PLANNED, None, A),
        TagRecord(NAME, None, TagOutcome.FAILED, reason="no list"),
    ]
    await store.records.sync_runs.record(run, [RunStep(entry) for entry in entries])
    done = replace(entries[0], outcome=TagOutcome.COPIED, before=B, moved_bytes=7)
    await store.records.sync_runs.record(run, [RunStep(done, BROUGHT, MOVED)])
    await store.records.sync_runs.end_run(ended(run))
    assert await store.records.sync_runs.entries(run.id) == [entries[1], done]
    assert await store.records.sync_runs.mirrored(NAME) == {TAG: BROUGHT}
    assert await store.records.sync_runs.mirrored_by("acme") == [BROUGHT]
    assert (
        await store.records.sync_runs.history(NAME, TAG, 5)
        == await store.records.sync_runs.events_of("acme", 5)
        == [MOVED]
    )
    assert await store.records.sync_runs.history(NAME, Tag("other"), 5) == []
    record = await store.records.sync_runs.rule_record("acme")
    assert (record.last_run, record.last_success_at) == (ended(run), ended(run).ended_at)


async def test_a_copy_with_changes_is_read_back_with_its_original(store: Store) -> None:
    run = await store.records.sync_runs.begin_run("acme")
    copy = replace(BROUGHT, original=B, changes={"env": {"a": "b"}})
    await store.records.sync_runs.record(run, [RunStep(mirrored=copy)])
    assert await store.records.sync_runs.mirrored(NAME) == {TAG: copy}
    await store.records.sync_runs.record(run, [RunStep(mirrored=BROUGHT)])
    assert await store.records.sync_runs.mirrored(NAME) == {TAG: BROUGHT}


async def test_a_failed_run_leaves_the_last_success_as_it_was(store: Store) -> None:
    good = await store.records.sync_runs.begin_run("acme")
    await store.records.sync_runs.end_run(ended(good))
    bad = await store.records.sync_runs.begin_run("acme")
    await store.records.sync_runs.end_run(ended(bad, RunOutcome.FAILED))
    assert (await store.records.sync_runs.rule_record("acme")).last_success_at == ended(good).ended_at


async def test_a_run_that_did_not_end_is_interrupted_by_the_next(store: Store) -> None:
    first, other = await store.records.sync_runs.begin_run("acme"), await store.records.sync_runs.begin_run("other")
    second = await store.records.sync_runs.begin_run("acme")
    assert await store.records.sync_runs.runs("acme", 5) == [second, replace(first, outcome=RunOutcome.INTERRUPTED)]
    assert await store.records.sync_runs.runs("other", 5) == [other]


async def test_a_rule_is_known_since_it_was_first_asked_about(folder: Path) -> None:
    async with Store.open(folder) as store:
        since = (await store.records.sync_runs.rule_record("acme")).known_since
    async with Store.open(folder) as store:
        assert (await store.records.sync_runs.rule_record("acme")).known_since == since


async def test_runs_and_events_are_kept_up_to_a_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_sync_runs, "_RUNS_KEPT", 3)
    monkeypatch.setattr(sql_sync_runs, "_EVENTS_KEPT", 2)
    runs = []
    for number in range(5):
        runs.append(await store.records.sync_runs.begin_run("acme"))
        event = replace(MOVED, source=str(number))
        await store.records.sync_runs.record(runs[-1], [RunStep(TagRecord(NAME, TAG, TagOutcome.COPIED), None, event)])
        await store.records.sync_runs.end_run(ended(runs[-1]))
    assert [run.id for run in await store.records.sync_runs.runs("acme", 10)] == [run.id for run in reversed(runs[2:])]
    assert await store.records.sync_runs.entries(runs[0].id) == []
    assert [event.source for event in await store.records.sync_runs.history(NAME, TAG, 10)] == ["4", "3"]


async def test_pulls_are_remembered_by_their_time(store: Store) -> None:
    earlier, later = PullCount(NOON - timedelta(days=1)), PullCount(NOON + timedelta(days=1))
    await store.records.pulls.record_pulls({(NAME, TAG): PullCount(NOON), (NAME, A): earlier})
    await store.records.pulls.record_pulls({(NAME, TAG): later})
    assert await store.records.sync_runs.pulled_since(NAME, NOON) == {"1.0"}
    assert await store.records.sync_runs.pulled_since(NAME, NOON - timedelta(days=2)) == {"1.0", str(A)}
    assert await store.records.sync_runs.pulled_since(Repository("acme/other"), NOON - timedelta(days=2)) == frozenset()


async def test_noting_does_not_make_anybody_forget_what_was_read(store: Store) -> None:
    before = store.services.catalog.generation.current
    run = await store.records.sync_runs.begin_run("acme")
    await store.records.sync_runs.record(run, [RunStep(None, BROUGHT, MOVED)])
    await store.records.pulls.record_pulls({(NAME, TAG): PullCount(NOON)})
    await store.records.sync_runs.end_run(ended(run))
    assert store.services.catalog.generation.current == before


async def test_a_lock_that_is_looked_at_can_be_had(folder: Path) -> None:
    folder.mkdir()
    locks = RuleLocks(folder)
    assert not await locks.is_held("acme")

    async def look() -> None:
        while True:
            await locks.is_held("acme")

    looking = asyncio.create_task(look())
    for _ in range(50):
        async with locks("acme"):
            with pytest.raises(Busy, match="being run by another process"):
                async with locks("acme"):
                    raise AssertionError("two hold it")
        await asyncio.sleep(0)
    looking.cancel()
    await asyncio.wait([looking])
    async with locks("acme"):
        assert await locks.is_held("acme")
