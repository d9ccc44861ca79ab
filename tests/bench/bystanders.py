"""Clients that request `GET /v2/` at fixed times while others load the server, as a small C program."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import compiled

SOURCE = Path(__file__).with_name("paced_get.c")
INTERVAL_MS = 20
#: Time to wait for responses after the last request, since a stalled worker answers in the end.
PATIENCE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Waited:
    """Result of the bystanders. Each request is timed from the moment when it was due.

    Attributes:
        asked: Number of requests.
        wrong: Responses with an unexpected status.
        broken: Requests whose connection broke.
        unanswered: Requests without a response until the end.
        late_seconds: Largest delay with which the bystanders themselves sent a request. Shorter times have no meaning.
        p50_seconds: Median time until a response.
        p99_seconds: 99th percentile.
        worst_seconds: Longest time.
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
        """Number of requests without the expected response."""
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
    """Let clients send requests at fixed times, and yield a function that waits for their end and returns their result.

    Args:
        port: Port of the server on 127.0.0.1.
        seconds: Time during which requests become due.
        clients: Number of clients.
        kept: True to keep each client's connection, False to open a new one for each request.
        status: HTTP status that the clients expect.
        interval_ms: Time between two requests of a client.
        patience_seconds: Longest time to wait for responses after the last request.

    Raises:
        RuntimeError: If the clients cannot connect.
    """
    request = f"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    numbers = (port, clients, interval_ms, seconds, patience_seconds, int(kept), status)
    with compiled.program(SOURCE) as program:
        argv = [program, *(f"{number:g}" for number in numbers)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield _begun(process, request, timeout_seconds=seconds + patience_seconds + 10)
            finally:
                process.kill()  # has no effect on a process that has ended


def _begun(process: subprocess.Popen[str], request: str, *, timeout_seconds: float) -> Callable[[], Waited]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the bystanders have no pipes")
    process.stdin.write(request)
    process.stdin.close()
    process.stdin = None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError("the bystanders could not connect: no server listens on the port")
    return lambda: parse(process.communicate(timeout=timeout_seconds)[0])


def parse(text: str) -> Waited:
    """Parse the last line of the program's output.

    Raises:
        ValueError: If the text is not such a line, or if no request was sent.
    """
    asked, wrong, broken, unanswered, *seconds = text.split()
    if int(asked) == 0:
        raise ValueError(f"the bystanders sent no request: {text}")
    late, p50, p99, worst = map(float, seconds)
    return Waited(int(asked), int(wrong), int(broken), int(unanswered), late, p50, p99, worst)
