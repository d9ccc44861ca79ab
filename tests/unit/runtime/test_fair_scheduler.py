"""Short turns: the owner that has used least goes first."""

from __future__ import annotations

import asyncio

import pytest

from mirror.runtime.concurrency.fair_scheduler import FairScheduler


class Shop:
    """A shop that counts turns. Each turn costs 1 and lasts one round of the event loop."""

    def __init__(self, at_once: int = 1) -> None:
        self.turns = FairScheduler(at_once)
        self.served: list[str] = []
        self.now = self.most = 0

    async def work(self, owner: str, turns: int) -> None:
        with self.turns.work(owner) as work:
            for _ in range(turns):
                async with work.turn():
                    self.now += 1
                    self.most = max(self.most, self.now)
                    await asyncio.sleep(0)
                    self.served.append(owner)
                    self.now -= 1
                    work.charge(1)


async def until(shop: Shop, turns: int) -> None:
    """Wait for a number of turns. Looks after every round, because the tests count the turns from there on."""
    async with asyncio.timeout(30):
        while len(shop.served) < turns:
            await asyncio.sleep(0)


async def test_no_more_than_so_many_at_a_time() -> None:
    shop = Shop(at_once=3)
    await asyncio.gather(*[shop.work(str(number), 5) for number in range(10)])
    assert shop.most == 3
    assert len(shop.served) == 50


async def test_a_small_piece_of_work_does_not_wait_for_a_hundred_large_ones() -> None:
    shop = Shop()
    large = [asyncio.create_task(shop.work("one client", 100)) for _ in range(100)]
    await until(shop, 1000)
    await shop.work("another", 5)

    assert len(shop.served) <= 1000 + 20
    for task in large:
        task.cancel()
    await asyncio.gather(*large, return_exceptions=True)


async def test_nor_for_a_hundred_owners_of_large_ones() -> None:
    shop = Shop()
    large = [asyncio.create_task(shop.work(f"repository {number}", 100)) for number in range(100)]
    await until(shop, 1000)
    await shop.work("another", 5)

    assert len(shop.served) <= 1000 + 20
    for task in large:
        task.cancel()
    await asyncio.gather(*large, return_exceptions=True)


async def test_an_owner_of_many_has_no_more_than_an_owner_of_one() -> None:
    shop = Shop()
    many = [asyncio.create_task(shop.work("many", 50)) for _ in range(20)]
    await shop.work("one", 50)

    assert shop.served.count("many") <= 2 * 50 + 20
    for task in many:
        task.cancel()
    await asyncio.gather(*many, return_exceptions=True)


async def test_newcomers_without_end_do_not_keep_anybody_waiting_for_ever() -> None:
    shop = Shop()

    async def come() -> None:
        for number in range(100_000):
            await shop.work(f"newcomer {number}", 1)

    coming = [asyncio.create_task(come()) for _ in range(5)]
    await until(shop, 10)
    await shop.work("patient", 30)

    assert len(shop.served) < 10 + 30 * 10
    for task in coming:
        task.cancel()
    await asyncio.gather(*coming, return_exceptions=True)


async def test_who_gives_up_takes_no_turn_away() -> None:
    shop = Shop()
    tasks = [asyncio.create_task(shop.work(f"{number}", 3)) for number in range(20)]
    await until(shop, 3)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await shop.work("after", 3)

    assert shop.served[-3:] == ["after"] * 3
    assert not shop.turns._present
    assert not shop.turns._had


async def test_one_who_gives_up_in_the_moment_of_its_turn_passes_it_on() -> None:
    turns = FairScheduler(1)
    with turns.work("a") as first, turns.work("b") as second:
        async with first.turn():
            waiting = asyncio.create_task(second.turn().__aenter__())
            await asyncio.sleep(0)
        waiting.cancel()  # the turn is granted, but the waiting task has not run yet
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(30), first.turn():
            pass


async def test_a_turn_is_not_given_to_a_task_that_was_cancelled_a_moment_ago() -> None:
    turns = FairScheduler(1)
    with turns.work("a") as first, turns.work("b") as second:
        async with first.turn():
            waiting = asyncio.create_task(second.turn().__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()  # the task has not run since, when the turn ends
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        async with asyncio.timeout(30), second.turn():
            pass
