import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mirror.store.generation import Generation

HOLD = """
import asyncio, sys
from pathlib import Path
from mirror.store.generation import Generation

async def main():
    async with Generation.open(Path(sys.argv[1])) as generation, generation.turn():
        with generation.changing():
            print("changing", flush=True)
            sys.stdin.readline()

asyncio.run(main())
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "generation"


async def test_the_count_is_odd_while_something_changes(file: Path) -> None:
    async with Generation.open(file) as generation:
        before = generation.settled
        async with generation.turn():
            assert generation.settled == before
            with generation.changing():
                assert generation.settled is None
                assert generation.current == before + 1
        assert generation.settled == before + 2


async def test_all_views_see_one_count(file: Path) -> None:
    async with Generation.open(file) as one, Generation.open(file) as other:
        async with one.turn():
            with one.changing():
                assert other.settled is None
        assert other.settled == one.settled == 2
    async with Generation.open(file) as again:
        assert again.settled == 2


async def test_one_writer_at_a_time(file: Path) -> None:
    inside = 0

    async def write(generation: Generation) -> None:
        nonlocal inside
        for _ in range(20):
            async with generation.turn():
                inside += 1
                assert inside == 1
                await asyncio.sleep(0.0005)
                inside -= 1

    async with Generation.open(file) as one, Generation.open(file) as other, asyncio.TaskGroup() as tasks:
        for generation in (one, other, one, other):
            tasks.create_task(write(generation))


async def test_who_is_cancelled_while_waiting_holds_nothing(file: Path) -> None:
    async with Generation.open(file) as one, Generation.open(file) as other:

        async def wait() -> None:
            async with other.turn():
                raise AssertionError("it is not our turn")

        async with one.turn():
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.sleep(0.02)
        with pytest.raises(asyncio.CancelledError):
            await waiting

        async with asyncio.timeout(5), one.turn(), asyncio.TaskGroup():
            pass
        async with asyncio.timeout(5), other.turn():
            pass


async def test_a_writer_that_is_killed_leaves_an_odd_count_until_the_next(file: Path) -> None:
    async with Generation.open(file) as generation:
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with child:
            assert child.stdout.readline() == "changing\n"
            child.send_signal(signal.SIGKILL)
        assert generation.settled is None

        async with asyncio.timeout(5), generation.turn():
            assert generation.settled == 2
