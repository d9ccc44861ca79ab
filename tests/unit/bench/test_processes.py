"""CPU time and memory of processes, measured from outside."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench.content import MIB
from tests.bench.processes import Watch, family, rss_bytes

BUSY_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"])
held = b"x" * (40 * 2**20)
print(child.pid, flush=True)
sys.stdin.readline()
begin = time.process_time()
while time.process_time() < begin + 0.3: pass
print(time.process_time() - begin, flush=True)
time.sleep(60)
"""


@contextmanager
def running() -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", BUSY_CHILD], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            for pid in reversed(family(process.pid)):
                subprocess.run(["kill", str(pid)], check=False)


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return (line.strip() for line in process.stdout if line.strip())


def test_a_watch_sums_the_memory_and_time_of_a_whole_family() -> None:
    with running() as process:
        lines = lines_of(process)
        child = int(next(lines))
        assert family(process.pid) == [process.pid, child]
        with Watch(process.pid) as watch:
            assert process.stdin is not None
            print(file=process.stdin, flush=True)  # only now does it begin to compute
            computed_seconds = float(next(lines))
    # The kernel counts in ticks of 10 ms, and the child computes a little beside the measured loop.
    assert watch.cost.cpu_seconds == pytest.approx(computed_seconds, abs=0.1)
    assert watch.cost.largest_rss_bytes > 40 * MIB
    assert watch.cost.rss_bytes > watch.cost.largest_rss_bytes
    assert 0 <= watch.cost.other_cpu_share <= 1


def test_a_process_that_has_ended_has_no_memory() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert rss_bytes(process.pid) == 0


def test_the_cost_is_not_known_before_the_end() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with Watch(process.pid) as watch, pytest.raises(RuntimeError, match="not ended"):
            _ = watch.cost
    finally:
        process.kill()
        process.wait()
