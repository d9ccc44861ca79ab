"""A scrub goes on where it was, keeps to its rate, and stops when the whole disk seems to be the trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.lifecycle import scrub as scrub_module
from mirror.lifecycle.scrub import Pacer, Scrubber
from mirror.lifecycle.scrub_report import ScrubReport
from mirror.oci import Digest
from mirror.oci.errors import StorageDamaged
from mirror.records.lifecycle.damage import DamageCounts, ExaminationResult, ScrubState, StoredContent
from mirror.store.records.integrity.sql_damage import SqlDamage
from mirror.store.registry import Store
from tests.support.builders import push_blob, push_image
from tests.support.clocks import START, HandClock
from tests.support.damage import file_of, flip_a_bit, scrub

A_DAY = timedelta(days=1)


class Stopping:
    """Progress of a scrub whose process dies after some files. Time passes with each file."""

    def __init__(self, clock: HandClock, files: int) -> None:
        self._clock = clock
        self._files = files

    def expect(self, total_bytes: int) -> None:
        """Do nothing."""

    def advance(self, size_bytes: int) -> None:
        self._clock.advance(seconds=60)
        self._files -= 1
        if self._files < 0:
            raise asyncio.CancelledError


async def stop_after(store: Store, clock: HandClock, files: int) -> None:
    scrubber = Scrubber(store.records.damage, store.records.scrubs, clock, "test", progress=Stopping(clock, files))
    with pytest.raises(asyncio.CancelledError):
        await scrubber.run(await scrubber.begin(A_DAY))


async def digests_of(store: Store, number: int) -> list[Digest]:
    """Push blobs, and return their digests in the order of a scrub."""
    return sorted([(await push_blob(store, str(each).encode())).digest for each in range(number)], key=str)


async def test_an_interrupted_scrub_goes_on_where_it_was(store: Store, folder: Path) -> None:
    digests, clock = await digests_of(store, 10), HandClock()
    await stop_after(store, clock, 6)
    # Read already, so it is found by the next round.
    flip_a_bit(file_of(folder, digests[0]))
    flip_a_bit(file_of(folder, digests[9]))
    state = await scrub(store, clock)
    assert (state.files, state.damaged, state.started_at) == (10, 1, START)
    assert (await scrub(store, clock)).damaged == 2


async def test_a_round_that_was_interrupted_long_ago_begins_again(store: Store, folder: Path) -> None:
    digests, clock = await digests_of(store, 10), HandClock()
    await stop_after(store, clock, 6)
    flip_a_bit(file_of(folder, digests[0]))
    clock.advance(days=2)
    state = await scrub(store, clock)
    assert (state.files, state.damaged) == (10, 1)
    assert state.total_bytes == 16


async def test_content_that_comes_during_a_scrub_does_not_disturb_it(store: Store) -> None:
    await digests_of(store, 5)
    clock = HandClock()
    await stop_after(store, clock, 3)
    await digests_of(store, 20)
    assert (await scrub(store, clock)).finished_at is not None


async def test_a_scrub_stops_when_many_files_in_a_row_are_missing(store: Store, folder: Path) -> None:
    digests = await digests_of(store, 30)
    for digest in digests[2:]:
        file = file_of(folder, digest)
        file.rename(file.with_suffix(".away"))
    with pytest.raises(StorageDamaged, match="check the disk"):
        await scrub(store)
    for digest in digests[2:]:
        file = file_of(folder, digest)
        file.with_suffix(".away").rename(file)
    state = await scrub(store)
    assert (state.files, state.damaged) == (30, 0)
    assert (await store.records.damage.counts()).damaged == 0


async def test_reading_keeps_to_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(scrub_module.asyncio, "sleep", sleep)
    pacer = Pacer(1000)
    for _ in range(3):
        await pacer.read(500)
    assert slept == pytest.approx([0.5, 1.0, 1.5], abs=0.1)
    await Pacer().read(10**12)
    assert len(slept) == 3


async def test_reading_takes_a_part_of_the_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    now_seconds = 100.0

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(scrub_module.asyncio, "sleep", sleep)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_seconds)
    pacer = Pacer(10**9, most_of_time=0.25)
    await pacer.read(1)
    now_seconds += 2.0
    await pacer.read(1)
    assert slept == pytest.approx([0.0, 6.0], abs=0.01)


async def test_whole_small_files_are_not_examined_one_by_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await push_image(store, "one", "1")
    await push_blob(store, bytes(scrub_module._SMALL_BYTES + 1))
    examined: list[int] = []
    real = SqlDamage.examine

    async def examine(
        self: SqlDamage, content: StoredContent, read: Callable[[int], Awaitable[None]]
    ) -> ExaminationResult:
        examined.append(content.size_bytes)
        return await real(self, content, read)

    monkeypatch.setattr(SqlDamage, "examine", examine)
    assert (await scrub(store)).files == 4
    assert examined == [scrub_module._SMALL_BYTES + 1]


async def test_the_report_tells_the_last_complete_scrub_of_all(store: Store) -> None:
    await push_blob(store, b"content")
    clock = HandClock()
    await scrub(store, clock)
    scrubs = {**await store.records.scrubs.scrubs(), "other": ScrubState(START + A_DAY, read_bytes=5, files=2)}
    assert ScrubReport(scrubs, DamageCounts(1, 2)).to_json() == {
        "last_finished_at": "2026-01-02T03:04:00Z",
        "read_bytes": 7,
        "found_damaged": 0,
        "damaged": 1,
        "healed": 2,
        "running": {"other": {"started_at": "2026-01-03T03:04:00Z", "files": 2, "read_bytes": 5, "damaged": 0}},
    }
