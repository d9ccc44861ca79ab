import asyncio
import errno
import threading

import pytest

from mirror.oci.errors import StorageFault, StorageFull
from mirror.store.threads import begin_in_thread, in_thread, to_the_end


async def test_a_cancelled_caller_waits_for_the_thread() -> None:
    started, finish = threading.Event(), threading.Event()
    done = []

    def work() -> None:
        started.set()
        finish.wait(10)
        done.append("work")

    task = asyncio.create_task(in_thread("work", work))
    await asyncio.to_thread(started.wait, 10)
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
        finish.wait(10)
        return "descriptor"

    task = asyncio.create_task(to_the_end(begin_in_thread("work", work), release=released.append))
    await asyncio.to_thread(started.wait, 10)
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
            await in_thread("wait", finish.wait, 10)

    asyncio.get_running_loop().call_later(0.05, finish.set)
    with pytest.raises(TimeoutError):
        await wait()
    assert finish.is_set()


@pytest.mark.parametrize(
    ("code", "expected"),
    [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, StorageFault), (errno.EROFS, StorageFault)],
)
async def test_the_disk_fails(code: int, expected: type[StorageFault]) -> None:
    def work() -> None:
        raise OSError(code, "what the system says")

    with pytest.raises(StorageFault, match="cannot store the thing: what the system says") as raised:
        await in_thread("store the thing", work)

    assert type(raised.value) is expected
    assert isinstance(raised.value.__cause__, OSError)
