"""The budget of pull-through: its rounds, and its answer to a full disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from mirror.lifecycle.eviction import LOW_WATER, KeepLimits
from mirror.lifecycle.pull_budget import PullBudget, StorageRoom
from mirror.oci.errors import Busy
from mirror.records.lifecycle.pulled_content import BudgetRecord, PulledArtifact, PulledContent, Refetchable
from tests.support.clocks import START, HandClock

GIB = 1024**3


class Disk:
    """A disk and the artifacts on it, one GiB each, pulled one day after the other. Implements PulledContents.

    Attributes:
        free_bytes: space that is free.
        counts: number of counts of the content.
        added: size of the content stored since the last count.
        stays: True if evicted bytes are not removed, for example because a backup reads them.
        busy: number of times that the next callers find another process at work.
    """

    def __init__(self, clock: HandClock, artifacts: int = 10) -> None:
        self.clock = clock
        self.artifacts = [
            PulledArtifact("a/b", (f"{number}",), (f"d{number}",), START - timedelta(days=100 - number), (number,))
            for number in range(artifacts)
        ]
        self.free_bytes, self.counts, self.added, self.busy, self.stays = 10 * GIB, 0, 0, 0, False
        self.evicted: list[str] = []
        self.waiting_bytes = 0
        self.saved = BudgetRecord()

    async def count(self, refetchable: Refetchable, downloading: Collection[str] = ()) -> PulledContent:
        self.counts += 1
        return PulledContent(list(self.artifacts), [GIB] * 100)

    async def added_bytes(self, since: datetime) -> int:
        return self.added

    async def evict(self, artifacts: Sequence[PulledArtifact]) -> Sequence[PulledArtifact]:
        for artifact in artifacts:
            self.artifacts.remove(artifact)
            self.evicted.append(artifact.tags[0])
            self.waiting_bytes += GIB
        return artifacts

    async def record(self) -> BudgetRecord:
        return self.saved

    async def save(self, record: BudgetRecord) -> None:
        self.saved = record

    async def missing_bytes(self, size_bytes: int | None) -> int:
        return max((GIB if size_bytes is None else size_bytes) - self.free_bytes, 0)

    async def clear(self) -> None:
        if not self.stays:
            self.free_bytes += self.waiting_bytes
            self.waiting_bytes = 0

    async def downloading(self) -> Collection[str]:
        return ()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        if self.busy:
            self.busy -= 1
            raise Busy("another process")
        yield

    def budget(
        self, size_bytes: int | None = None, *, unused_for: timedelta | None = None, when_full: bool = True
    ) -> PullBudget:
        room = StorageRoom(self.missing_bytes, self.clear, self.downloading, self.turn)
        return PullBudget(
            self, KeepLimits(size_bytes, unused_for), lambda _: ("hub",), room, self.clock, when_full=when_full
        )


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def disk(clock: HandClock) -> Disk:
    return Disk(clock)


class TestLimits:
    async def test_a_round_leaves_the_low_water_mark(self, disk: Disk) -> None:
        await disk.budget(6 * GIB).keep_within()
        assert disk.evicted == ["0", "1", "2", "3", "4"]
        saved = disk.saved
        assert saved.used_bytes == 5 * GIB <= 6 * GIB * LOW_WATER
        assert (saved.counted_at, saved.tags, saved.evicted_tags, saved.evicted_bytes) == (START, 5, 5, 5 * GIB)

    async def test_content_is_counted_again_when_more_than_the_budget_may_have_come(
        self, disk: Disk, clock: HandClock
    ) -> None:
        budget = disk.budget(20 * GIB)
        for added, counts in ((0, 1), (9 * GIB, 1), (10 * GIB, 1), (10 * GIB + 1, 2), (0, 2)):
            disk.added = added
            clock.advance(minutes=1)
            await budget.keep_within()
            assert disk.counts == counts, added

    async def test_a_clock_that_is_set_ahead_makes_nothing_old(self, disk: Disk, clock: HandClock) -> None:
        budget = disk.budget(unused_for=timedelta(days=90))
        clock.set(days=1000)
        await budget.keep_within()
        assert disk.evicted == []
        clock.advance(days=91)
        await budget.keep_within()
        assert len(disk.evicted) == 10

    @pytest.mark.parametrize("change", [{"hours": 6}, {"hours": -1}])
    async def test_content_is_counted_every_six_hours_and_after_the_clock_was_set_back(
        self, disk: Disk, clock: HandClock, change: dict[str, float]
    ) -> None:
        budget = disk.budget()
        await budget.keep_within()
        clock.set(**change)
        await budget.keep_within()
        assert disk.counts == 2

    async def test_what_cannot_be_evicted_is_not_counted_each_minute(self, disk: Disk, clock: HandClock) -> None:
        disk.artifacts = [disk.artifacts[0]]
        disk.artifacts[0] = PulledArtifact("a/b", ("0",), ("d0",), START, (0,))  # pulled a moment ago
        budget = disk.budget(GIB // 2)
        for _ in range(9):
            await budget.keep_within()
            clock.advance(minutes=1)
        assert (disk.counts, disk.evicted) == (1, [])
        clock.advance(hours=1)
        await budget.keep_within()
        assert disk.evicted == ["0"]

    async def test_another_process_that_evicts_is_not_waited_for(self, disk: Disk) -> None:
        disk.busy = 1
        await disk.budget(0).keep_within()
        assert (disk.counts, disk.evicted) == (0, [])


class TestFullDisk:
    async def test_a_disk_with_room_is_left_alone(self, disk: Disk) -> None:
        await disk.budget().relieve()
        assert disk.counts == 0

    async def test_content_gives_way_before_new_content_is_refused(self, disk: Disk) -> None:
        disk.free_bytes = 0
        await disk.budget().relieve()
        assert (disk.evicted, disk.free_bytes) == (["0"], GIB)
        assert (disk.saved.emergencies, disk.saved.last_emergency_at) == (1, START)

    async def test_what_was_evicted_before_is_removed_first(self, disk: Disk) -> None:
        disk.free_bytes, disk.waiting_bytes = 0, 2 * GIB
        assert await disk.budget().make_room(2 * GIB)
        assert (disk.evicted, disk.saved.emergencies) == ([], 0)

    async def test_room_is_made_for_a_download(self, disk: Disk) -> None:
        disk.free_bytes = GIB
        assert await disk.budget().make_room(4 * GIB)
        assert (disk.evicted, disk.free_bytes) == (["0", "1", "2"], 4 * GIB)

    async def test_nothing_is_evicted_for_a_download_that_will_not_fit(self, disk: Disk) -> None:
        # Else a client that asks for one huge blob after the other would empty the mirror.
        assert not await disk.budget().make_room(21 * GIB)
        assert disk.evicted == []

    async def test_what_did_not_fit_is_not_tried_again_at_once_but_less_is(self, disk: Disk, clock: HandClock) -> None:
        budget = disk.budget()
        assert not await budget.make_room(21 * GIB)
        assert not await budget.make_room(22 * GIB)
        assert disk.counts == 1
        assert await budget.make_room(11 * GIB)
        clock.advance(minutes=2)
        assert not await budget.make_room(30 * GIB)
        assert disk.counts == 3

    async def test_bytes_that_a_backup_holds_do_not_cost_all_tags(self, disk: Disk) -> None:
        disk.free_bytes, disk.stays = 0, True
        budget = disk.budget()
        for _ in range(20):
            await budget.relieve()
        assert disk.evicted == ["0"]

    async def test_downloads_at_the_same_time_evict_once(self, disk: Disk) -> None:
        disk.free_bytes = GIB
        budget = disk.budget()
        assert await asyncio.gather(*(budget.make_room(2 * GIB) for _ in range(5))) == [True] * 5
        assert disk.evicted == ["0"]

    async def test_a_download_waits_for_another_process_that_makes_room(self, disk: Disk) -> None:
        disk.busy, disk.free_bytes = 1, 0
        assert await disk.budget().make_room(GIB)
        assert disk.evicted == ["0"]

    async def test_a_site_may_refuse_instead(self, disk: Disk) -> None:
        disk.free_bytes = 0
        budget = disk.budget(when_full=False)
        await budget.relieve()
        assert not await budget.make_room(GIB)
        assert disk.counts == 0
