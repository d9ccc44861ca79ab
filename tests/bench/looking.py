"""`plugin-mirror lint` of a plugin that was read before, and of one that was not.

Both are the same program on the same store. The figure is the CPU time beyond that of a tiny plugin, because a second
look takes hardly longer than the start of the program. Memory and CPU time in the table are those of the benchmark.
"""

from __future__ import annotations

import os
import random
import resource
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

from tests.bench.content import KIB, MIB
from tests.bench.sample import Outcome, percentile
from tests.bench.servers import OURS, Contestant, Server
from tests.harness.mirror import PROGRAM

FIRST = f"{OURS}, first look"
LAYERS_MS = "CPU for the layers, ms"
SIZE_BYTES = 83 * MIB
_FILES = 900
_LARGE, _TINY = "bench/large:1", "bench/tiny:1"
#: Placeholder ports of both contestants.
_AGAIN, _ANEW = 1, 2


class Looks:
    """Runs of `lint` on a store with two plugins. One has a layer of :data:`SIZE_BYTES`, the other is tiny.

    Args:
        folder: Folder for the store and the plugins.
    """

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        for name, files in ((_LARGE, _FILES), (_TINY, 0)):
            plugin = folder / name.partition(":")[0]
            (plugin / "rootfs/lib").mkdir(parents=True)
            (plugin / "rootfs/driver").write_bytes(b"#!/driver\nnever started")
            (plugin / "config.json").write_text('{"Entrypoint": ["/driver"]}')
            for number in range(files):
                (plugin / f"rootfs/lib/{number}").write_bytes(_half_random(number, 2 * SIZE_BYTES // files))
            self._run("pack", str(plugin), "-t", name)

    def lint(self, server: Server, seconds: int) -> Outcome:
        """Run `lint` repeatedly for at least `seconds`, after or without a first look by the placeholder port."""
        anew = server.port == _ANEW
        cpu_seconds, taken_seconds = [], []
        self._looked_at(_TINY)
        self._looked_at(_LARGE)
        begin = time.monotonic()
        while not taken_seconds or time.monotonic() - begin < seconds:
            if anew:
                self._forget()
                self._looked_at(_TINY)
            started_seconds = time.monotonic()
            large_seconds = self._looked_at(_LARGE)
            taken_seconds.append(time.monotonic() - started_seconds)
            cpu_seconds.append(large_seconds - self._looked_at(_TINY))
        return Outcome(
            amount=len(taken_seconds),
            seconds=sum(taken_seconds),
            p50_seconds=percentile(taken_seconds, 50),
            p99_seconds=percentile(taken_seconds, 99),
            figures={LAYERS_MS: 1e3 * max(0.0, percentile(cpu_seconds, 50))},
        )

    def _looked_at(self, name: str) -> float:
        """Run `lint` once. Return its CPU time in seconds."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._run("lint", name)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def _run(self, *arguments: str) -> None:
        # Exit code 1: the driver is no program.
        command = [PROGRAM, *arguments, "--data", str(self._data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in {0, 1}:
            raise RuntimeError(f"{arguments}: {done.stderr}")

    def _forget(self) -> None:
        with closing(sqlite3.connect(self._data / "catalog.sqlite")) as catalog, catalog:
            catalog.execute("DELETE FROM readings")


@contextmanager
def contestants() -> Iterator[tuple[list[Contestant], Looks]]:
    """Yield both contestants and their load."""
    with tempfile.TemporaryDirectory(prefix="looking-") as made:
        yield [_program(OURS, _AGAIN), _program(FIRST, _ANEW)], Looks(Path(made))


def _half_random(seed: int, size_bytes: int) -> bytes:
    """Return content that compresses to about half of its size."""
    source = random.Random(seed)
    return b"".join(source.randbytes(KIB) + bytes(KIB) for _ in range(size_bytes // (2 * KIB)))


def _program(name: str, port: int) -> Contestant:
    return Contestant(name, lambda: nullcontext(Server(port, os.getpid())))
