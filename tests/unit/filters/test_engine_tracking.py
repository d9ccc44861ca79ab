"""Counters, records and log events of engines that pull plugins."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from mirror.filters import engine_tracking
from mirror.filters.engine_tracking import EngineTracker
from mirror.oci.errors import StorageFull
from mirror.plugin.policy.engine_vulnerabilities import Exposure, KnownEngines
from mirror.records.hosts import Host
from mirror.runtime import periodic_flush
from mirror.runtime.periodic_flush import flush_periodically
from mirror.wire.user_agent import Engine
from tests.support.clocks import HandClock
from tests.support.waiting import until

OLD, NEW, NONE = Engine("26.1.5", "amd64", "linux"), Engine("29.3.1", "amd64", "linux"), Engine("dev")
ADDRESS = "192.0.2.7"


class World:
    def __init__(self, *, tells: bool = True) -> None:
        self.clock = HandClock()
        self.recorded: list[Mapping[Host, datetime]] = []
        self.counted: list[Exposure] = []
        self.failing = 0
        self.tracker = EngineTracker(self.record, self.counted.append, self.clock, known=KnownEngines(), tells=tells)

    async def record(self, seen: Mapping[Host, datetime]) -> None:
        if self.failing:
            self.failing -= 1
            raise StorageFull("no space")
        self.recorded.append(seen)


def told(lines: list[Any]) -> list[tuple[str, str]]:
    return [(line["client"], line["engine"]) for line in lines if line["event"].startswith("possibly vulnerable")]


async def test_every_pull_is_counted_and_each_host_recorded_once() -> None:
    world = World()
    for engine in (OLD, NEW, OLD, NONE):
        world.tracker.pulled(engine, ADDRESS)
    world.tracker.pulled(OLD, "no address")
    assert world.counted == [
        Exposure.AFFECTED,
        Exposure.UNAFFECTED,
        Exposure.AFFECTED,
        Exposure.UNKNOWN,
        Exposure.AFFECTED,
    ]
    await world.tracker.flush()
    await world.tracker.flush()
    (recorded,) = world.recorded
    assert recorded == dict.fromkeys(
        [
            Host(ADDRESS, "26.1.5", "linux", "amd64"),
            Host(ADDRESS, "29.3.1", "linux", "amd64"),
            Host(ADDRESS, "dev"),
        ],
        world.clock.time,
    )


async def test_a_host_that_may_be_affected_is_named_once_a_day() -> None:
    world = World()
    with capture_logs() as lines:
        for _ in range(3):
            for engine in (OLD, NEW, NONE):
                world.tracker.pulled(engine, ADDRESS)
        assert told(lines) == [(ADDRESS, "26.1.5"), (ADDRESS, "dev")]
        world.clock.advance(days=1)
        world.tracker.pulled(OLD, ADDRESS)
    assert told(lines)[2:] == [(ADDRESS, "26.1.5")]
    assert lines[0]["log_level"] == "warning"
    assert (lines[0]["cve"], lines[0]["exposure"]) == ("CVE-2026-33997", "affected")
    assert "29.3.1" in lines[0]["fix"]


async def test_nothing_is_named_where_that_is_not_wanted() -> None:
    world = World(tells=False)
    with capture_logs() as lines:
        world.tracker.pulled(OLD, ADDRESS)
    assert lines == []
    assert world.counted == [Exposure.AFFECTED]


async def test_a_flood_of_addresses_and_versions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_tracking, "MOST_WAITING", 50)
    monkeypatch.setattr(engine_tracking, "MOST_WAITING_OF_A_NETWORK", 10)
    monkeypatch.setattr(engine_tracking, "MOST_TOLD", 20)
    world = World()
    with capture_logs() as lines:
        for number in range(100):
            world.tracker.pulled(Engine(f"26.1.{number}"), ADDRESS)  # one host makes up versions
            world.tracker.pulled(OLD, f"2001:db8:0:{number:x}::1")  # one network makes up addresses
        world.tracker.pulled(OLD, "203.0.113.1")
        for number in range(100):
            world.tracker.pulled(OLD, f"10.0.{number}.1")
    assert len(told(lines)) == 20
    assert [line["event"] for line in lines].count("engine hosts no longer logged today") == 1
    await world.tracker.flush()
    networks = [host.network for host in world.recorded[0]]
    assert len(networks) == 50
    assert (networks.count("192.0.2.0/24"), networks.count("2001:db8::/48")) == (10, 10)
    assert "203.0.113.0/24" in networks


async def test_what_could_not_be_recorded_is_recorded_later() -> None:
    world = World()
    world.failing = 1
    world.tracker.pulled(OLD, ADDRESS)
    with pytest.raises(StorageFull):
        await world.tracker.flush()
    world.tracker.pulled(NEW, ADDRESS)
    await world.tracker.flush()
    assert sorted(host.engine for host in world.recorded[0]) == ["26.1.5", "29.3.1"]


async def test_hosts_are_recorded_in_a_while_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periodic_flush, "PERIOD_SECONDS", 0.01)
    world = World()
    world.failing = 2
    world.tracker.pulled(OLD, ADDRESS)
    task = asyncio.create_task(flush_periodically(world.tracker.flush, "hosts that pull plugins"))
    await until(lambda: world.recorded)
    monkeypatch.setattr(periodic_flush, "PERIOD_SECONDS", 9999)
    world.tracker.pulled(NEW, ADDRESS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(host.engine for seen in world.recorded for host in seen) == ["26.1.5", "29.3.1"]
