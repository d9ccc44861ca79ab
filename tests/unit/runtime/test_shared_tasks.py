import asyncio

import pytest

from mirror.oci.errors import UpstreamBusy
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.runtime.concurrency.shared_tasks import SharedTasks, wait


class Work:
    """A piece of work that waits for ``go_on`` and counts how often it was started."""

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
    async with BackgroundTasks() as tasks:
        shared: SharedTasks[str, str] = SharedTasks()
        waiting = [asyncio.create_task(wait(shared.join("a", work, tasks))) for _ in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        work.go_on.set()
        assert await asyncio.gather(*waiting[1:]) == ["done"] * 4
        assert work.begun == 1
        assert await wait(shared.join("a", work, tasks)) == "done"
        assert work.begun == 2


async def test_all_get_the_error() -> None:
    work = Work()
    work.error = LookupError("absent")
    work.go_on.set()
    async with BackgroundTasks() as tasks:
        shared: SharedTasks[str, str] = SharedTasks()
        both = [shared.join("a", work, tasks), shared.join("a", work, tasks)]
        for each in both:
            with pytest.raises(LookupError):
                await wait(each)


async def test_who_waits_no_longer_leaves_it_be() -> None:
    work = Work()
    async with BackgroundTasks() as tasks:
        shared: SharedTasks[str, str] = SharedTasks()
        joined = shared.join("a", work, tasks)
        with pytest.raises(TimeoutError):
            await wait(joined, 0.01)
        work.go_on.set()
        assert await wait(joined) == "done"


async def test_it_ends_with_its_owner() -> None:
    async with BackgroundTasks() as tasks:
        joined = SharedTasks[str, str]().join("a", Work(), tasks)
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await wait(joined)


async def started(shared: SharedTasks[str, str], work: Work, number: int) -> list[asyncio.Task[str]]:
    tasks = [asyncio.ensure_future(shared.run("key", work)) for _ in range(number)]
    await asyncio.sleep(0)
    return tasks


async def test_the_first_caller_works_for_all_who_wait() -> None:
    shared: SharedTasks[str, str] = SharedTasks()
    work = Work()
    tasks = await started(shared, work, 10)
    work.go_on.set()
    assert await asyncio.gather(*tasks) == ["done"] * 10
    assert await shared.run("key", work) == "done"
    assert work.begun == 2


async def test_its_error_is_everybodys() -> None:
    shared: SharedTasks[str, str] = SharedTasks()
    work = Work()
    work.error = UpstreamBusy("busy")
    tasks = await started(shared, work, 5)
    work.go_on.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [UpstreamBusy] * 5
    assert work.begun == 1


async def test_where_the_first_one_leaves_another_begins_anew() -> None:
    shared: SharedTasks[str, str] = SharedTasks()
    work = Work()
    tasks = await started(shared, work, 3)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    await asyncio.sleep(0)
    assert work.begun == 2
    work.go_on.set()
    assert await asyncio.gather(*tasks[1:]) == ["done"] * 2


async def test_where_a_later_one_leaves_the_work_goes_on() -> None:
    shared: SharedTasks[str, str] = SharedTasks()
    work = Work()
    tasks = await started(shared, work, 3)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    work.go_on.set()
    assert await asyncio.gather(tasks[0], tasks[2]) == ["done"] * 2
    assert work.begun == 1
