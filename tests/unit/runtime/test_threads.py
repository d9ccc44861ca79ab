"""Blocking generators, stepped in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

import pytest

from mirror.runtime.threads import stepped


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
            may_end.wait(10)
            yield 1
        finally:
            closed.set()

    async def consume() -> None:
        async for _ in stepped(steps()):
            pass

    task = asyncio.ensure_future(consume())
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    assert not closed.is_set()  # a generator cannot be closed while it runs
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
