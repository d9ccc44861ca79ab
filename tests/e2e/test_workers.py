"""Several worker processes on one port."""

import http.client
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

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
        wait_until(lambda: len(workers_of(mirror)) == 2, "two workers")
        victim = min(workers_of(mirror))
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(workers_of(mirror) - {victim}) == 2, "a replacement for the worker")
        wait_until(http_answers(f"{mirror.url}/readyz"), "the server to answer")


def test_workers_end_with_their_parent() -> None:
    with Mirror(workers=2) as mirror:
        wait_until(lambda: len(workers_of(mirror)) == 2, "two workers")
        assert mirror.pid is not None
        os.kill(mirror.pid, signal.SIGKILL)
        wait_until(lambda: len(processes_naming([str(mirror.config)])) <= 1, "the workers to end")


def listening(mirror: Mirror) -> int:
    """Return the number of workers that have ever been ready for requests, including ended ones."""
    return sum(line["event"] == "server listening" for line in mirror.log)


@contextmanager
def alone(worker: int, mirror: Mirror) -> Iterator[None]:
    """Pause all other workers inside the block, like busy ones, so that one worker gets all requests."""
    others = workers_of(mirror) - {worker}
    try:
        for other in others:
            os.kill(other, signal.SIGSTOP)
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def ask(mirror: Mirror, path: str) -> bytes:
    """Send one GET over a new connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read()


def pings(mirror: Mirror) -> set[float]:
    """Return the set of ping counts that the workers report in their metrics."""
    told = set()
    for worker in workers_of(mirror):
        with alone(worker, mirror):
            metrics = ask(mirror, "/metrics").decode()
        told.add(
            next(
                sample.value
                for family in text_string_to_metric_families(metrics)
                for sample in family.samples
                if sample.name == "plugin_mirror_requests_total"
                and sample.labels == {"route": "ping", "method": "GET", "status": "2xx"}
            )
        )
    return told


def test_whoever_is_asked_tells_the_requests_of_all_also_of_those_who_died() -> None:
    with Mirror(workers=2) as mirror:
        wait_until(lambda: listening(mirror) == 2, "two workers")
        for served, worker in zip((30, 50), sorted(workers_of(mirror)), strict=True):
            with alone(worker, mirror):
                for _ in range(served):
                    ask(mirror, "/v2/")
        assert pings(mirror) == {80}

        victim = min(workers_of(mirror))
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: listening(mirror) == 3, "a replacement for the worker")
        assert pings(mirror) == {80}
        for _ in range(20):
            ask(mirror, "/v2/")
        assert pings(mirror) == {100}
