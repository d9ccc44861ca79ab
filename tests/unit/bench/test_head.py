"""The load generator for HEAD requests, and the parser of its report."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from tests.bench import compiled, head
from tests.bench.sample import Outcome
from tests.harness.requirement import require
from tests.support.quiet_http import QuietHTTPServer


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == "/there" and self.headers["Accept"] == "text/plain" else 404)
        self.send_header("Content-Length", "1000")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[int]:
    with QuietHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_report_is_read() -> None:
    assert head.parse("3000 2 1 1.500000 0.000700000 0.002000000\n") == Outcome(3000, 1.5, 0.0007, 0.002, errors=3)


@pytest.mark.parametrize("text", ["", "0 0 0 1.0 0 0\n", "1 2 3\n", "a b c d e f"])
def test_a_report_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        head.parse(text)


@pytest.mark.parametrize(("path", "all_wrong"), [("/there", False), ("/absent", True)])
def test_it_asks_over_and_over_and_counts_what_is_not_200(path: str, all_wrong: bool) -> None:
    require(compiled.missing())
    with serving() as port:
        got = head.load(port, path, connections=3, threads=2, seconds=1.0, headers={"Accept": "text/plain"})
    assert got.amount > 3
    assert got.errors == (got.amount if all_wrong else 0)
    assert 0 < got.p50_seconds <= got.p99_seconds <= got.seconds
