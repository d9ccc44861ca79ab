"""The load generator for HEAD: a small C program, compiled when it is first needed."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.bench.sample import Outcome
from tests.harness.command import run

COMPILER = "gcc"
SOURCE = Path(__file__).with_name("head_load.c")


def missing() -> str | None:
    """What must be installed first, or None."""
    return None if shutil.which(COMPILER) else "gcc is not installed (Debian: apt-get install gcc libc6-dev)"


def load(
    port: int, path: str, *, connections: int, threads: int, seconds: float, headers: Mapping[str, str]
) -> Outcome:
    """Send HEAD `path` over and over for `seconds`, on `connections` kept alive by `threads`.

    Raises `CommandFailedError` when nothing listens there, and `ValueError` when there was not one answer.
    """
    lines = [f"HEAD {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {headers[name]}" for name in headers)]
    request = "".join(f"{line}\r\n" for line in [*lines, ""])
    with tempfile.TemporaryDirectory(prefix="head-load-") as folder:
        program = Path(folder) / "head_load"
        program.write_bytes(_program())
        program.chmod(0o755)
        argv = [str(program), str(port), str(connections), str(threads), f"{seconds:g}"]
        return parse(run(argv, input_text=request, timeout_seconds=seconds + 30).stdout)


def parse(text: str) -> Outcome:
    """Read the program's one line. Raises `ValueError` for anything else, and for no answers."""
    answers, refused, broken, seconds, p50_seconds, p99_seconds = text.split()
    if int(answers) == 0:
        raise ValueError(f"no answers: {text}")
    return Outcome(int(answers), float(seconds), float(p50_seconds), float(p99_seconds), int(refused) + int(broken))


@functools.cache
def _program() -> bytes:
    with tempfile.TemporaryDirectory(prefix="head-load-") as folder:
        program = Path(folder) / "head_load"
        run([COMPILER, "-std=gnu11", "-Wall", "-Wextra", "-O2", "-pthread", "-o", str(program), str(SOURCE)])
        return program.read_bytes()
