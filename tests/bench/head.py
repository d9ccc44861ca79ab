"""The load generator for HEAD: a small C program."""

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
    """Send HEAD `path` over and over for `seconds`, on `connections` kept alive by `threads`.

    Raises `CommandFailedError` when nothing listens there, and `ValueError` when there was not one answer.
    """
    lines = [f"HEAD {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {headers[name]}" for name in headers)]
    request = "".join(f"{line}\r\n" for line in [*lines, ""])
    with compiled.program(SOURCE) as program:
        argv = [program, str(port), str(connections), str(threads), f"{seconds:g}"]
        return parse(run(argv, input_text=request, timeout_seconds=seconds + 30).stdout)


def parse(text: str) -> Outcome:
    """Read the program's one line. Raises `ValueError` for anything else, and for no answers."""
    answers, refused, broken, seconds, p50_seconds, p99_seconds = text.split()
    if int(answers) == 0:
        raise ValueError(f"no answers: {text}")
    return Outcome(int(answers), float(seconds), float(p50_seconds), float(p99_seconds), int(refused) + int(broken))
