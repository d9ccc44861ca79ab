"""Several processes on one port."""

import os
import signal

import pytest

from tests.harness.command import run
from tests.harness.leftovers import processes_naming
from tests.harness.mirror import Mirror
from tests.harness.readiness import http_answers, wait_until

pytestmark = pytest.mark.e2e


def workers_of(mirror: Mirror) -> set[int]:
    listed = run(["ps", "-o", "pid=", "--ppid", str(mirror.pid)], check=False).stdout
    return {int(pid) for pid in listed.split()}


def test_a_worker_that_dies_is_replaced() -> None:
    with Mirror(workers=2) as mirror:
        wait_until(lambda: len(workers_of(mirror)) == 2, 5, "two workers")
        victim = min(workers_of(mirror))
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(workers_of(mirror) - {victim}) == 2, 10, "another worker in its place")
        wait_until(http_answers(f"{mirror.url}/readyz"), 10, "the server to answer")


def test_workers_end_with_their_parent() -> None:
    with Mirror(workers=2) as mirror:
        wait_until(lambda: len(workers_of(mirror)) == 2, 5, "two workers")
        assert mirror.pid is not None
        os.kill(mirror.pid, signal.SIGKILL)
        wait_until(lambda: len(processes_naming([str(mirror.config)])) <= 1, 10, "the workers to end")
