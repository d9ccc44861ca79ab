"""Hosts that pull plugins, in the catalog."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mirror.records.hosts import Host, SeenHost
from mirror.store.records import sql_hosts
from mirror.store.registry import Store

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
HOST, OTHER = Host("192.0.2.7", "26.1.5", "linux", "amd64"), Host("2001:db8::7", "")


def numbered(number: int) -> Host:
    """Return a host in a network of its own."""
    return Host(f"10.{number // 250}.{number % 250}.1", "26.1.5", "linux", "amd64")


async def test_hosts_are_remembered_with_when_they_were_seen(store: Store, folder: Path) -> None:
    await store.records.hosts.record_hosts({HOST: NOON})
    await store.records.hosts.record_hosts({HOST: LATER, OTHER: NOON})
    await store.records.hosts.record_hosts({HOST: NOON})  # an older report, delayed in another process
    assert await store.records.hosts.hosts() == [SeenHost(HOST, NOON, LATER), SeenHost(OTHER, NOON, NOON)]
    async with Store.open(folder) as again:
        assert await again.records.hosts.hosts() == await store.records.hosts.hosts()


async def test_an_engine_that_was_upgraded_is_another_host(store: Store) -> None:
    upgraded = Host(HOST.address, "29.3.1", HOST.os, HOST.architecture)
    await store.records.hosts.record_hosts({HOST: NOON})
    await store.records.hosts.record_hosts({upgraded: LATER})
    assert [seen.host for seen in await store.records.hosts.hosts()] == [upgraded, HOST]


async def test_no_cache_ends_because_hosts_are_recorded(store: Store) -> None:
    before = (await store.monitoring.contents()).generation_changes
    await store.records.hosts.record_hosts({HOST: NOON})
    await store.records.hosts.record_hosts({})
    assert (await store.monitoring.contents()).generation_changes == before


async def test_of_too_many_hosts_those_unseen_for_longest_are_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_hosts, "MOST_HOSTS", 10)
    await store.records.hosts.record_hosts({numbered(number): NOON + timedelta(minutes=number) for number in range(10)})
    await store.records.hosts.record_hosts({numbered(0): LATER})
    await store.records.hosts.record_hosts({numbered(number): LATER for number in range(10, 13)})
    kept = {seen.host for seen in await store.records.hosts.hosts()}
    assert kept == {numbered(number) for number in (0, 4, 5, 6, 7, 8, 9, 10, 11, 12)}


async def test_one_network_cannot_push_the_others_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_hosts, "MOST_HOSTS", 10)
    monkeypatch.setattr(sql_hosts, "MOST_HOSTS_OF_A_NETWORK", 5)
    await store.records.hosts.record_hosts({numbered(number): NOON for number in range(5)})
    flood = {Host(f"2001:db8:0:{number:x}::1", "26.1.5"): LATER for number in range(300)}
    await store.records.hosts.record_hosts(flood)
    await store.records.hosts.record_hosts({Host("198.51.100.1", str(number)): LATER for number in range(5)})
    found = [seen.host for seen in await store.records.hosts.hosts()]
    assert len(found) == 10
    assert sum(host in flood for host in found) == 5
