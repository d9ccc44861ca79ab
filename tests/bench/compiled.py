"""Load generators in C, compiled on first use."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.command import run

COMPILER = "gcc"


def missing() -> str | None:
    """Return a sentence that names the missing packages, or None if the compiler is installed."""
    return None if shutil.which(COMPILER) else "gcc is not installed (Debian: apt-get install gcc libc6-dev)"


@contextmanager
def program(source: Path) -> Iterator[str]:
    """Compile a C file and yield the path of the program, which is removed after the block."""
    with tempfile.TemporaryDirectory(prefix=f"{source.stem}-") as folder:
        path = Path(folder) / source.stem
        path.write_bytes(_compiled(source))
        path.chmod(0o755)
        yield str(path)


@functools.cache
def _compiled(source: Path) -> bytes:
    with tempfile.TemporaryDirectory(prefix=f"{source.stem}-") as folder:
        path = Path(folder) / source.stem
        run([COMPILER, "-std=gnu11", "-Wall", "-Wextra", "-O2", "-pthread", "-o", str(path), str(source)])
        return path.read_bytes()
