"""Records of traffic: amounts add up, also those of runs of mirror rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from mirror.records.lifecycle.storage_numbers import Traffic, TrafficSource
from mirror.records.sync_runs import RunOutcome
from mirror.store.registry import Store

HUB, PUSHED = TrafficSource("hub", "**"), TrafficSource("", "")


async def test_amounts_add_up(store: Store) -> None:
    traffic = store.records.traffic
    await traffic.add({HUB: Traffic(1, 100, 70), PUSHED: Traffic(served_bytes=5)})
    await traffic.add({HUB: Traffic(2, 200)})
    await traffic.add({})
    assert await traffic.all() == {PUSHED: Traffic(0, 5, 0), HUB: Traffic(3, 300, 70)}


async def test_caches_stay_valid(store: Store) -> None:
    before = store.services.catalog.generation.current
    await store.records.traffic.add({HUB: Traffic(1, 100, 70)})
    assert store.services.catalog.generation.current == before


async def test_a_run_of_a_rule_adds_the_bytes_that_it_moved(store: Store) -> None:
    runs = store.records.sync_runs
    for moved_bytes in (0, 7, 3):
        run = await runs.begin_run("contiv")
        ended = replace(run, outcome=RunOutcome.SUCCEEDED, ended_at=datetime.now(UTC), moved_bytes=moved_bytes)
        await runs.end_run(ended, "hub")
    assert await store.records.traffic.all() == {TrafficSource("hub", "contiv"): Traffic(0, 0, 10)}


def test_what_was_fetched_beyond_what_was_served_is_no_saving() -> None:
    assert Traffic(1, 100, 70).saved_bytes == 30
    assert Traffic(1, 70, 100).saved_bytes == 0
