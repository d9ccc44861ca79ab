"""Whose turn it is: connections, and one request for several who want the same."""

from __future__ import annotations

import asyncio

import pytest

from mirror.oci.errors import UpstreamBusy
from mirror.runtime.single_flight import SingleFlight
from mirror.upstream.slots import Slots


@pytest.mark.parametrize(("connections", "bulk"), [(2, 1), (3, 2), (4, 3), (8, 6), (64, 48)])
async def test_transfers_leave_connections_for_short_requests(connections: int, bulk: int) -> None:
    slots = Slots(connections)
    for _ in range(bulk):
        await slots.enter(bulk=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slots.enter(bulk=True), 0.01)
    for _ in range(connections - bulk):
        await asyncio.wait_for(slots.enter(bulk=False), 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slots.enter(bulk=False), 0.01)
    slots.leave(bulk=True)
    await asyncio.wait_for(slots.enter(bulk=True), 1)


async def test_a_transfer_that_gives_up_waiting_takes_nothing_along() -> None:
    slots = Slots(2)
    for _ in range(2):
        await slots.enter(bulk=False)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slots.enter(bulk=True), 0.01)
    slots.leave(bulk=False)
    await asyncio.wait_for(slots.enter(bulk=True), 1)


class Work:
    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.go_on = asyncio.Event()
        self.error = error

    async def __call__(self) -> int:
        self.begun += 1
        await self.go_on.wait()
        if self.error:
            raise self.error
        return self.begun


async def started(flights: SingleFlight[str, int], work: Work, number: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.ensure_future(flights.run("key", work)) for _ in range(number)]
    await asyncio.sleep(0)
    return tasks


async def test_one_piece_of_work_for_all_who_wait() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    tasks = await started(flights, work, 10)
    work.go_on.set()
    assert await asyncio.gather(*tasks) == [1] * 10
    assert await flights.run("key", work) == 2


async def test_its_error_is_everybodys() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work(UpstreamBusy("busy"))
    tasks = await started(flights, work, 5)
    work.go_on.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [UpstreamBusy] * 5
    assert work.begun == 1


async def test_where_the_first_one_leaves_another_begins_anew() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    tasks = await started(flights, work, 3)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    await asyncio.sleep(0)
    assert work.begun == 2
    work.go_on.set()
    assert await asyncio.gather(*tasks[1:]) == [2, 2]


async def test_where_a_later_one_leaves_the_work_goes_on() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    tasks = await started(flights, work, 3)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    work.go_on.set()
    assert await asyncio.gather(tasks[0], tasks[2]) == [1, 1]
