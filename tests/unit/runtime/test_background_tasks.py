import asyncio

import pytest

from mirror.runtime.concurrency.background_tasks import BackgroundTasks


async def test_what_runs_is_cancelled_at_the_end() -> None:
    async with BackgroundTasks() as tasks:
        waiting = tasks.create_task(asyncio.Event().wait())
        done = tasks.create_task(asyncio.sleep(0, "done"))
        await asyncio.wait([done])
    assert waiting.cancelled()
    assert done.result() == "done"


async def test_an_error_of_the_block_leaves_as_it_is() -> None:
    started: list[asyncio.Task[object]] = []

    async def block() -> None:
        async with BackgroundTasks() as tasks:
            started.append(tasks.create_task(asyncio.Event().wait()))
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await block()
    assert started[0].cancelled()


async def test_its_own_cancellation_is_passed_on() -> None:
    begun = asyncio.Event()

    async def block() -> None:
        async with BackgroundTasks() as tasks:
            tasks.create_task(asyncio.Event().wait())
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
