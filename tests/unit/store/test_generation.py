import asyncio
import fcntl
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mirror.store.catalog.generation import Generation

HOLD = """
import asyncio, sys
from pathlib import Path
from mirror.store.catalog.generation import Generation

async def main():
    async with Generation.open(Path(sys.argv[1])) as generation:
        with generation.turn(), generation.changing():
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
        with generation.turn():
            assert generation.settled == before
            with generation.changing():
                assert generation.settled is None
                assert generation.current == before + 1
        assert generation.settled == before + 2


async def test_all_views_see_one_count(file: Path) -> None:
    async with Generation.open(file) as one, Generation.open(file) as other:
        with one.turn(), one.changing():
            assert other.settled is None
        assert other.settled == one.settled == 2
    async with Generation.open(file) as again:
        assert again.settled == 2


async def test_one_writer_at_a_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = 0
    is_refused, flock = threading.Event(), fcntl.flock

    def watched(descriptor: int, operation: int) -> None:
        try:
            flock(descriptor, operation)
        except BlockingIOError:
            is_refused.set()
            raise

    monkeypatch.setattr(fcntl, "flock", watched)

    def write(generation: Generation) -> None:
        nonlocal inside
        for _ in range(20):
            with generation.turn():
                inside += 1
                assert inside == 1
                assert is_refused.wait(30)  # the first turn ends when another view waits for it
                time.sleep(0.0005)  # long enough for a second writer to be seen, if there were one
                inside -= 1

    async with Generation.open(file) as one, Generation.open(file) as other:
        await asyncio.gather(*(asyncio.to_thread(write, generation) for generation in (one, other, one, other)))
        assert one.waits + other.waits > 0
        assert one.wait_seconds + other.wait_seconds > 0


async def test_a_writer_that_is_killed_leaves_an_odd_count_until_the_next(file: Path) -> None:
    async with Generation.open(file) as generation:
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with child:
            assert child.stdout.readline() == "changing\n"
            child.send_signal(signal.SIGKILL)
        assert generation.settled is None

        with generation.turn():
            assert generation.settled == 2
