"""Large pieces of work run in a thread, one at a time. Small ones run in the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mirror.runtime.concurrency.cpu_offload import LIGHT_BYTES, CpuOffload


async def test_small_work_is_done_here_and_large_work_elsewhere() -> None:
    cpu_offload = CpuOffload()
    assert await cpu_offload.do("a", LIGHT_BYTES, threading.get_ident) == threading.get_ident()
    assert await cpu_offload.do("a", LIGHT_BYTES + 1, threading.get_ident) != threading.get_ident()


async def test_what_fails_is_raised_and_the_next_has_its_turn() -> None:
    cpu_offload = CpuOffload()
    for size_bytes in (1, LIGHT_BYTES + 1):
        with pytest.raises(ZeroDivisionError):
            await cpu_offload.do("a", size_bytes, divmod, 1, 0)
    assert await cpu_offload.do("a", LIGHT_BYTES + 1, divmod, 7, 2) == (3, 1)


async def test_one_piece_is_done_after_the_other_and_who_has_had_least_goes_first() -> None:
    cpu_offload = CpuOffload()
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        begun.set()
        assert go_on.wait(30)
        order.append("greedy")

    pieces = [asyncio.create_task(cpu_offload.do("greedy", LIGHT_BYTES + 1, first))]
    await asyncio.to_thread(begun.wait, 30)
    for owner in ("greedy", "greedy", "modest"):
        pieces.append(asyncio.create_task(cpu_offload.do(owner, LIGHT_BYTES + 1, order.append, owner)))
        await asyncio.sleep(0)
    assert order == []
    go_on.set()
    await asyncio.gather(*pieces)
    assert order == ["greedy", "modest", "greedy", "greedy"]


async def test_who_is_cancelled_while_waiting_leaves_the_turn_to_the_next() -> None:
    cpu_offload = CpuOffload()
    go_on = threading.Event()
    held = asyncio.create_task(cpu_offload.do("a", LIGHT_BYTES + 1, go_on.wait, 30))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(cpu_offload.do("b", LIGHT_BYTES + 1, threading.get_ident))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    go_on.set()
    assert await held
    assert await cpu_offload.do("c", LIGHT_BYTES + 1, divmod, 1, 1) == (1, 0)
