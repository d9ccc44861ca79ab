import asyncio

import pytest

from mirror.filters import pull_tracking
from mirror.filters.pull_tracking import PullTracker
from mirror.oci import Repository, Tag
from mirror.oci.errors import ManifestUnknown, StorageFull
from mirror.registry.memory import MemoryRegistry
from mirror.runtime import periodic_flush
from mirror.runtime.clock import SystemClock
from mirror.runtime.periodic_flush import flush_periodically
from tests.support.builders import hold, plugin
from tests.support.waiting import until

NAME, TAG = Repository("acme/driver"), Tag("1.0")
MANIFEST = plugin(b"{}", b"layer")


class Records:
    def __init__(self) -> None:
        self.times = {}
        self.failing = 0
        self.calls = 0

    async def __call__(self, pulled):
        self.calls += 1
        if self.failing:
            self.failing -= 1
            raise StorageFull("no space")
        self.times |= pulled


def counted(records):
    return {str(target): count.number for (_, target), count in records.times.items()}


@pytest.fixture
def records():
    return Records()


@pytest.fixture
async def pulls(records):
    inner = MemoryRegistry()
    await hold(inner, NAME, [b"{}", b"layer"], [MANIFEST], "1.0")
    return PullTracker(inner, records, SystemClock())


async def test_what_was_asked_for_and_given_is_recorded(pulls, records):
    await pulls.resolve(NAME, TAG)
    await pulls.get_manifest(NAME, MANIFEST.digest)
    with pytest.raises(ManifestUnknown):
        await pulls.resolve(NAME, Tag("other"))
    await pulls.flush()
    assert records.times.keys() == {(NAME, TAG), (NAME, MANIFEST.digest)}


async def test_each_pull_counts(pulls, records):
    for _ in range(3):
        await pulls.resolve(NAME, TAG)
    await pulls.get_manifest(NAME, MANIFEST.digest)
    await pulls.flush()
    assert counted(records) == {"1.0": 3, str(MANIFEST.digest): 1}
    await pulls.flush()
    assert records.times.keys() == {(NAME, TAG), (NAME, MANIFEST.digest)}


async def test_what_could_not_be_recorded_is_recorded_later_with_what_came_since(pulls, records):
    records.failing = 1
    await pulls.resolve(NAME, TAG)
    with pytest.raises(StorageFull):
        await pulls.flush()
    await pulls.resolve(NAME, TAG)
    await pulls.get_manifest(NAME, MANIFEST.digest)
    await pulls.flush()
    assert counted(records) == {"1.0": 2, str(MANIFEST.digest): 1}


async def test_it_is_recorded_in_a_while_and_at_the_end_whatever_fails_between(pulls, records, monkeypatch):
    monkeypatch.setattr(periodic_flush, "PERIOD_SECONDS", 0.01)
    records.failing = 2
    task = asyncio.create_task(flush_periodically(pulls.flush, "times of pulls"))
    await pulls.resolve(NAME, TAG)
    await until(lambda: records.calls >= 3)
    monkeypatch.setattr(periodic_flush, "PERIOD_SECONDS", 9999)
    await pulls.resolve(NAME, MANIFEST.digest)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert records.times.keys() == {(NAME, TAG), (NAME, MANIFEST.digest)}


async def test_there_is_an_end_to_what_is_noted(pulls, records, monkeypatch):
    monkeypatch.setattr(pull_tracking, "_MOST_WAITING", 1)
    await pulls.resolve(NAME, TAG)
    await pulls.resolve(NAME, MANIFEST.digest)
    await pulls.flush()
    assert records.times.keys() == {(NAME, TAG)}
