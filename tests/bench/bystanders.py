"""Clients that ask for `GET /v2/` at fixed times while others load the server: a small C program."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import compiled

SOURCE = Path(__file__).with_name("paced_get.c")
INTERVAL_MS = 20
#: How long answers are waited for after the last request: a worker that is stalled answers in the end.
PATIENCE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Waited:
    """What bystanders saw of `asked` requests, each timed from when it was due.

    `wrong` had another status, `broken` lost their connection, `unanswered` were given up. `late_seconds` is by how
    much the bystanders themselves were late to send, at most: no time below that means anything.
    """

    asked: int
    wrong: int
    broken: int
    unanswered: int
    late_seconds: float
    p50_seconds: float
    p99_seconds: float
    worst_seconds: float

    @property
    def errors(self) -> int:
        """Requests that were not answered as they ought to be."""
        return self.wrong + self.broken + self.unanswered


@contextmanager
def asking(
    port: int,
    *,
    seconds: float,
    clients: int = 2,
    kept: bool = True,
    status: int = 200,
    interval_ms: float = INTERVAL_MS,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[Callable[[], Waited]]:
    """Have `clients` ask for so long from now on, each over a connection that is `kept`, or each time over a new one.

    `status` is the answer they expect; after the last request they wait for `patience_seconds` at most. What the block
    is given waits for their end, and tells what they saw. Raises `RuntimeError` where they cannot begin.
    """
    request = f"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    numbers = (port, clients, interval_ms, seconds, patience_seconds, int(kept), status)
    with compiled.program(SOURCE) as program:
        argv = [program, *(f"{number:g}" for number in numbers)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield _begun(process, request, timeout_seconds=seconds + patience_seconds + 10)
            finally:
                process.kill()  # which nobody notices who has ended


def _begun(process: subprocess.Popen[str], request: str, *, timeout_seconds: float) -> Callable[[], Waited]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the bystanders have no pipes")
    process.stdin.write(request)
    process.stdin.close()
    process.stdin = None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError("the bystanders did not begin: nothing listens on the port")
    return lambda: parse(process.communicate(timeout=timeout_seconds)[0])


def parse(text: str) -> Waited:
    """Read the program's last line. Raises `ValueError` for anything else, and where nothing was asked."""
    asked, wrong, broken, unanswered, *seconds = text.split()
    if int(asked) == 0:
        raise ValueError(f"nothing was asked: {text}")
    late, p50, p99, worst = map(float, seconds)
    return Waited(int(asked), int(wrong), int(broken), int(unanswered), late, p50, p99, worst)
