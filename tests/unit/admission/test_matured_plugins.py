"""Plugins are judged again when their cooldown has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from mirror.admission.matured_plugins import MaturedPlugins
from mirror.oci import Repository
from mirror.plugin.policy.admission_policy import Policy
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.admission.admissions import AdmissionState
from mirror.records.admission.arrivals import ContentSource, coming_from
from mirror.store.registry import Store
from tests.support.admission import HOST, OTHER, World
from tests.support.clocks import ShiftedClock

COOLDOWN = timedelta(days=7)
HUB = ContentSource("hub", Repository("contiv/v2plugin"))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = ShiftedClock()
    async with Store.open(tmp_path / "data", clock=clock) as store:
        made = World(store, clock)
        made.follow(Policy(cooldown=COOLDOWN))
        yield made


def matured(world: World) -> MaturedPlugins:
    records = world.store.records
    held = partial(records.admissions.admissions, AdmissionState.HELD, world.policy)
    return MaturedPlugins(world.store, held, records.plugins, records.arrivals, judge=world.judge, clock=world.clock)


async def test_only_what_has_matured_is_judged_again(world: World) -> None:
    with coming_from(HUB):
        early, _ = await world.push(HOST)
        world.clock.advance(days=6)
        late, _ = await world.push({"Description": "late"}, repository=OTHER)
    await matured(world).judge_matured(COOLDOWN)
    assert await world.state(early) is AdmissionState.HELD
    world.clock.advance(days=1)
    before = len(world.counted)
    await matured(world).judge_matured(COOLDOWN)
    assert await world.state(early) is AdmissionState.ADMITTED
    assert await world.state(late, OTHER) is AdmissionState.HELD
    assert world.counted[before:] == [PolicyAction.ALLOW]
    await matured(world).judge_matured(COOLDOWN)
    assert world.counted[before:] == [PolicyAction.ALLOW]


async def test_what_a_rule_holds_is_left_alone(world: World) -> None:
    world.follow(Policy(default=PolicyAction.HOLD, cooldown=COOLDOWN))
    with coming_from(HUB):
        manifest, _ = await world.push(HOST)
    world.clock.advance(days=7)
    before = len(world.counted)
    await matured(world).judge_matured(COOLDOWN)
    assert await world.state(manifest) is AdmissionState.HELD
    assert world.counted[before:] == []


async def test_what_is_gone_is_skipped(world: World) -> None:
    with coming_from(HUB):
        manifest, _ = await world.push(HOST)
    await world.store.delete_manifest(Repository("acme/driver"), manifest.digest)
    world.clock.advance(days=7)
    await matured(world).judge_matured(COOLDOWN)
    assert await world.state(manifest) is AdmissionState.HELD
