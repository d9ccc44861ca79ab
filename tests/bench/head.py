"""Load generator for HEAD requests, as a small C program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.bench import compiled
from tests.bench.sample import Outcome
from tests.harness.command import run

SOURCE = Path(__file__).with_name("head_load.c")


def load(
    port: int, path: str, *, connections: int, threads: int, seconds: float, headers: Mapping[str, str]
) -> Outcome:
    """Send HEAD requests for `path` repeatedly on keep-alive connections.

    Args:
        port: Port of the server on 127.0.0.1.
        path: Path to request.
        connections: Number of connections.
        threads: Number of threads.
        seconds: Duration of the run.
        headers: Request headers.

    Raises:
        CommandFailedError: If the server refuses connections.
        ValueError: If there was no response.
    """
    lines = [f"HEAD {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {headers[name]}" for name in headers)]
    request = "".join(f"{line}\r\n" for line in [*lines, ""])
    with compiled.program(SOURCE) as program:
        argv = [program, str(port), str(connections), str(threads), f"{seconds:g}"]
        return parse(run(argv, input_text=request, timeout_seconds=seconds + 30).stdout)


def parse(text: str) -> Outcome:
    """Parse the program's output, which is one line.

    Raises:
        ValueError: If the text is not such a line, or if there was no response.
    """
    answers, refused, broken, seconds, p50_seconds, p99_seconds = text.split()
    if int(answers) == 0:
        raise ValueError(f"the server sent no response: {text}")
    return Outcome(int(answers), float(seconds), float(p50_seconds), float(p99_seconds), int(refused) + int(broken))
