"""Blocking calls and generators in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

import pytest

from mirror.runtime.concurrency.threads import await_or_release, begin_in_thread, in_thread, stepped
from tests.support.waiting import until


async def test_a_cancelled_caller_waits_for_the_thread() -> None:
    started, finish = threading.Event(), threading.Event()
    done = []

    def work() -> None:
        started.set()
        finish.wait(30)
        done.append("work")

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(started.wait, 30)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    finish.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["work"]


async def test_what_a_cancelled_caller_never_sees_is_released() -> None:
    started, finish = threading.Event(), threading.Event()
    released = []

    def work() -> str:
        started.set()
        finish.wait(30)
        return "descriptor"

    task = asyncio.create_task(await_or_release(begin_in_thread(work), release=released.append))
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    await asyncio.sleep(0)
    finish.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert released == ["descriptor"]


async def test_a_timeout_stays_a_timeout() -> None:
    finish = threading.Event()

    async def wait() -> None:
        async with asyncio.timeout(0.01):
            await in_thread(finish.wait, 30)

    task = asyncio.create_task(wait())
    await until(task.cancelling)  # the time is over, and the thread still works
    assert not task.done()
    finish.set()
    with pytest.raises(TimeoutError):
        await task


async def test_every_step_is_given_and_made_in_a_thread() -> None:
    threads: set[int] = set()

    def steps() -> Generator[int, None, None]:
        for number in range(3):
            threads.add(threading.get_ident())
            yield number

    assert [number async for number in stepped(steps())] == [0, 1, 2]
    assert threading.get_ident() not in threads


async def test_what_a_step_raises_is_raised() -> None:
    def steps() -> Generator[int, None, None]:
        yield 1
        raise KeyError("x")

    pieces = stepped(steps())
    assert await anext(pieces) == 1
    with pytest.raises(KeyError):
        await anext(pieces)


async def test_cancelled_it_ends_the_step_and_closes_the_generator() -> None:
    begun, may_end, closed = threading.Event(), threading.Event(), threading.Event()

    def steps() -> Generator[int, None, None]:
        try:
            begun.set()
            may_end.wait(30)
            yield 1
        finally:
            closed.set()

    async def consume() -> None:
        async for _ in stepped(steps()):
            pass

    task = asyncio.ensure_future(consume())
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    await asyncio.sleep(0)
    assert not closed.is_set()  # a generator cannot be closed while it runs
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
