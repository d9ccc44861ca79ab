"""The budget of pull-through as the server has it: its settings, its store and its collection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mirror.app import pull_through
from mirror.app.api_reports import ApiReports
from mirror.app.numbers.storage_report import SECTIONS
from mirror.app.pull_through import keep_budget, pull_budget
from mirror.app.services import open_services
from mirror.oci import Repository, Tag
from mirror.oci.errors import StorageFault
from mirror.records.lifecycle.pulled_content import PulledArtifact
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings, load
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.support.clocks import ShiftedClock
from tests.support.pull_through import NAME, Plugin, pull, pulling
from tests.support.waiting import until

HUB = {"upstreams": {"hub": {"url": "https://hub.example"}}, "proxy": [{"from": "hub/**", "to": "**"}]}
LAYER_BYTES = 300_000


def settings_of(folder: Path, **pulled: Any) -> Settings:
    return load(flags={**HUB, "storage": {"path": str(folder / "data")}, "pull_through": pulled})


async def figures(settings: Settings) -> Any:
    async with open_services(settings) as services:
        return await SECTIONS["budget"](services)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ShiftedClock:
    clock = ShiftedClock()
    monkeypatch.setattr(pull_through, "_CLOCK", clock)
    return clock


@pytest.fixture
async def store(tmp_path: Path, clock: ShiftedClock) -> AsyncIterator[Store]:
    """A store that has pulled three plugins through, each 20 hours after the other."""
    async with Store.open(tmp_path / "data", clock=clock) as store, pulling(store) as world:
        for seed, tag in enumerate(("1.0", "2.0", "3.0")):
            await Plugin.make(seed, LAYER_BYTES).at(world.hub, NAME, tag)
            await pull(world, NAME, Tag(tag))
            clock.advance(hours=20)
        yield store


async def tags_of(store: Store) -> list[str]:
    return [tag.name for tag in (await store.list_tags(NAME, PageRequest(limit=9))).entries]


def from_hub(_repository: Repository) -> tuple[str, ...]:
    return ("hub",)


async def answering(_artifact: PulledArtifact) -> bool:
    return True


async def silent(_artifact: PulledArtifact) -> bool:
    return False


def held_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("data/blobs/*/*/*"))


async def test_a_round_keeps_the_configured_size_and_tells_its_figures(tmp_path: Path, store: Store) -> None:
    settings = settings_of(tmp_path, keep={"bytes": 2 * LAYER_BYTES})
    await pull_budget(settings, store, from_hub, answering).keep_within()
    assert await tags_of(store) == ["3.0"]
    report = await figures(settings)
    assert LAYER_BYTES < report["used_bytes"] < 1.01 * LAYER_BYTES
    assert (report["budget_bytes"], report["tags"], report["evicted"]["tags"]) == (2 * LAYER_BYTES, 1, 2)
    assert 2 * LAYER_BYTES < report["evicted"]["size_bytes"] < 2.01 * LAYER_BYTES


async def test_tags_that_nobody_pulls_go_after_the_configured_time(tmp_path: Path, store: Store) -> None:
    await pull_budget(settings_of(tmp_path, keep={"unused_for": "1d"}), store, from_hub, answering).keep_within()
    assert await tags_of(store) == ["3.0"]


async def test_nothing_old_goes_while_its_upstream_does_not_answer(tmp_path: Path, store: Store) -> None:
    await pull_budget(settings_of(tmp_path, keep={"unused_for": "1d"}), store, from_hub, silent).keep_within()
    assert await tags_of(store) == ["1.0", "2.0", "3.0"]


async def test_the_size_is_kept_although_the_upstream_does_not_answer(tmp_path: Path, store: Store) -> None:
    settings = settings_of(tmp_path, keep={"bytes": 2 * LAYER_BYTES})
    await pull_budget(settings, store, from_hub, silent).keep_within()
    assert await tags_of(store) == ["3.0"]


async def test_room_on_a_full_disk_is_there_at_once(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = iter([LAYER_BYTES, LAYER_BYTES, LAYER_BYTES, 0])

    async def missing_bytes(_size_bytes: int | None) -> int:
        return next(missing)

    monkeypatch.setattr(store.monitoring, "missing_bytes", missing_bytes)
    before = held_bytes(tmp_path)
    assert await pull_budget(settings_of(tmp_path), store, from_hub, answering).make_room(LAYER_BYTES)
    assert await tags_of(store) == ["2.0", "3.0"]
    assert before - held_bytes(tmp_path) > LAYER_BYTES
    assert (await figures(settings_of(tmp_path)))["emergencies"] == 1


async def test_a_failed_round_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull_through, "_PERIOD_SECONDS", 0.001)
    monkeypatch.setattr(pull_through, "_PERIODS_OF_THE_BUDGET", 2)
    calls: list[str] = []

    class Failing:
        async def relieve(self) -> None:
            calls.append("relieve")
            raise StorageFault("the disk does not answer")

        async def keep_within(self) -> None:
            calls.append("keep within")

    working = asyncio.create_task(keep_budget(Failing()))  # type: ignore[arg-type]
    await until(lambda: calls.count("relieve") > 3 and "keep within" in calls)
    working.cancel()
    await asyncio.wait([working])


@pytest.mark.parametrize("keep", [{}, {"bytes": "1GiB"}])
async def test_the_figures_are_metrics(tmp_path: Path, keep: dict[str, str]) -> None:
    async with open_services(settings_of(tmp_path, keep=keep)) as services:
        found = {metric.name for metric in await ApiReports(services, {}, SystemClock()).metrics()}
    names = {"pulled_through_bytes", "pulled_through_tags", "evicted_tags", "evicted_bytes", "emergency_evictions"}
    names |= {"pulled_through_budget_bytes"} if keep else set()
    assert {f"plugin_mirror_{name}" for name in names} == {
        name for name in found if name.split("_")[2] in {"pulled", "evicted", "emergency"}
    }
