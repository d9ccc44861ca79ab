"""Several processes on one port."""

import http.client
import os
import signal
from contextlib import closing

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


def ask(mirror: Mirror, path: str) -> bytes:
    """One GET on a connection of its own, so that any worker may take it."""
    with closing(http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=10)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read()


def answering(mirror: Mirror) -> set[str]:
    """How the ids of requests begin in each worker that has answered one of `ask`."""
    return {line["request_id"].partition("-")[0] for line in mirror.log if line.get("path") == "/v2/"}


def pings(mirror: Mirror) -> float:
    """How many the metrics know of."""
    return next(
        sample.value
        for family in text_string_to_metric_families(ask(mirror, "/metrics").decode())
        for sample in family.samples
        if sample.name == "plugin_mirror_requests_total"
        and sample.labels == {"route": "ping", "method": "GET", "status": "2xx"}
    )


def test_whoever_is_asked_tells_the_requests_of_all_also_of_those_who_died() -> None:
    with Mirror(workers=2) as mirror:
        wait_until(lambda: len(workers_of(mirror)) == 2, 5, "two workers")
        for _ in range(100):
            ask(mirror, "/v2/")
        wait_until(lambda: len(answering(mirror)) == 2, 5, "both workers to have served some, as the log tells")
        assert {pings(mirror) for _ in range(20)} == {100}

        victim = min(workers_of(mirror))
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(workers_of(mirror) - {victim}) == 2, 10, "another worker in its place")
        wait_until(http_answers(f"{mirror.url}/readyz"), 10, "the server to answer")
        assert {pings(mirror) for _ in range(20)} == {100}
        for _ in range(50):
            ask(mirror, "/v2/")
        assert {pings(mirror) for _ in range(20)} == {150}
