"""The counter of traffic: amounts by source, and nothing is lost if they cannot be recorded."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mirror.lifecycle.traffic_counter import TrafficCounter
from mirror.oci import Repository
from mirror.oci.errors import CatalogFault
from mirror.records.lifecycle.storage_numbers import Traffic, TrafficSource

HUB, OTHER = TrafficSource("hub", "a/**"), TrafficSource("other", "b/**")


class Recorder:
    """A record of traffic that fails on demand, and lets another client in while it writes."""

    def __init__(self) -> None:
        self.recorded: list[Mapping[TrafficSource, Traffic]] = []
        self.fails = False
        self.counter = TrafficCounter(self.source_of, self.record)

    def source_of(self, repository: Repository, upstream: str | None) -> TrafficSource:
        found = HUB if repository.name.startswith("a/") else OTHER
        return found if upstream in {None, found.upstream} else TrafficSource(upstream or "", "")

    async def record(self, amounts: Mapping[TrafficSource, Traffic]) -> None:
        if self.fails:
            self.counter.served(Repository("a/1"), 1, 1)
            raise CatalogFault("the disk is gone")
        self.recorded.append(amounts)


async def test_amounts_add_up_by_source_until_they_are_recorded() -> None:
    recorder = Recorder()
    counter = recorder.counter
    counter.served(Repository("a/1"), 1, 10)
    counter.served(Repository("a/2"), 0, 100)
    counter.served(Repository("b/1"), 1, 7)
    counter.fetched("hub", Repository("a/1"), 60)
    counter.fetched("backup", Repository("a/1"), 5)
    await counter.flush()
    await counter.flush()
    amounts = {HUB: Traffic(1, 110, 60), OTHER: Traffic(1, 7, 0), TrafficSource("backup", ""): Traffic(0, 0, 5)}
    assert recorder.recorded == [amounts, {}]


async def test_amounts_that_cannot_be_recorded_stay_counted() -> None:
    recorder = Recorder()
    recorder.counter.served(Repository("a/1"), 1, 10)
    recorder.fails = True
    with pytest.raises(CatalogFault):
        await recorder.counter.flush()
    recorder.fails = False
    await recorder.counter.flush()
    assert recorder.recorded == [{HUB: Traffic(2, 11, 0)}]
