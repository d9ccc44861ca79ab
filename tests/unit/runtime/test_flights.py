import asyncio

import pytest

from mirror.runtime.background import Background
from mirror.runtime.flights import Flights, landed


class Work:
    """Waits to be let go on, and counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> str:
        self.begun += 1
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return "done"


async def test_all_who_want_the_same_share_one() -> None:
    work = Work()
    async with Background() as tasks:
        flights: Flights[str, str] = Flights(tasks)
        waiting = [asyncio.create_task(landed(flights.join("a", work))) for _ in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        work.go_on.set()
        assert await asyncio.gather(*waiting[1:]) == ["done"] * 4
        assert work.begun == 1
        assert await landed(flights.join("a", work)) == "done"
        assert work.begun == 2


async def test_all_get_the_error() -> None:
    work = Work()
    work.error = LookupError("absent")
    work.go_on.set()
    async with Background() as tasks:
        flights: Flights[str, str] = Flights(tasks)
        both = [flights.join("a", work), flights.join("a", work)]
        for flight in both:
            with pytest.raises(LookupError):
                await landed(flight)


async def test_who_waits_no_longer_leaves_it_be() -> None:
    work = Work()
    async with Background() as tasks:
        flights: Flights[str, str] = Flights(tasks)
        flight = flights.join("a", work)
        with pytest.raises(TimeoutError):
            await landed(flight, 0.01)
        work.go_on.set()
        assert await landed(flight) == "done"


async def test_it_ends_with_its_owner() -> None:
    async with Background() as tasks:
        flight = Flights[str, str](tasks).join("a", Work())
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await landed(flight)
