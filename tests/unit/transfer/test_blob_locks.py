"""Concurrent work with a limit."""

from __future__ import annotations

import asyncio

import pytest

from mirror.transfer.blob_locks import map_concurrently


async def test_there_are_no_more_tasks_than_work_is_done_at_once() -> None:
    before, most = len(asyncio.all_tasks()), 0

    async def work(number: int) -> int:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()) - before)
        await asyncio.sleep(0)
        return number * 2

    assert await map_concurrently(3, work, range(1000)) == [number * 2 for number in range(1000)]
    assert most == 3


async def test_the_first_failure_ends_the_others() -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        if number == 4:
            raise ValueError(number)
        done.append(number)

    with pytest.raises(ValueError, match="4"):
        await map_concurrently(2, work, range(100))
    assert len(done) < 10


async def test_nothing_is_done_of_nothing() -> None:
    async def work(_: int) -> None:
        raise AssertionError

    assert await map_concurrently(3, work, []) == []
