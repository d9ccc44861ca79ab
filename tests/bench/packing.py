"""`plugin-mirror pack` and `tar | gzip -6` on the same tree.

Both are programs that end. Memory and CPU time in the table are those of the benchmark itself. The largest memory of
the programs is a figure.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.bench.content import MIB
from tests.bench.sample import Outcome, percentile
from tests.bench.servers import OURS, Contestant, Server
from tests.harness.mirror import PROGRAM

TAR = "tar | gzip -6"
PEAK_MIB = "peak RSS of the program, MiB"
SMALL_FILES = 100_000
_SMALL_BYTES = 1024
_IN_ONE_FOLDER = 1000
_COPIES = 4
#: Runs a shell command, and prints its seconds and the largest memory of its processes in KiB. A program that the
#: benchmark started itself would be charged with the memory of the benchmark.
_MEASURED = """
import resource, subprocess, sys, time
begin = time.monotonic()
subprocess.run(sys.argv[1], shell=True, check=True, stdout=subprocess.DEVNULL)
print(time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
#: Installed packages, bytecode and static libraries are not part of the tree.
_LEFT_OUT = shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__", "*.a")


def write_library(rootfs: Path) -> None:
    """Write several copies of Python's standard library, with small and large files, texts and programs."""
    for number in range(_COPIES):
        shutil.copytree(sysconfig.get_path("stdlib"), rootfs / str(number), ignore=_LEFT_OUT)


def write_small_files(rootfs: Path) -> None:
    """Write many small files of random bytes, which no compressor makes smaller."""
    for number in range(SMALL_FILES):
        folder = rootfs / f"{number // _IN_ONE_FOLDER:03}"
        if number % _IN_ONE_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:06}").write_bytes(os.urandom(_SMALL_BYTES))


@contextmanager
def contestants(write: Callable[[Path], None]) -> Iterator[tuple[list[Contestant], dict[int, str], int]]:
    """Yield both contestants, their commands by placeholder port, and the size of the tree in bytes.

    Args:
        write: writes the tree into a folder.
    """
    with tempfile.TemporaryDirectory(prefix="packing-") as made:
        folder = Path(made)
        rootfs = folder / "plugin/rootfs"
        write(rootfs)
        (folder / "plugin/config.json").write_text('{"Entrypoint": ["/driver"]}')
        size_bytes = sum(path.lstat().st_size for path in rootfs.rglob("*") if path.is_file())
        data, file = folder / "data", folder / "rootfs.tar.gz"
        commands = {
            1: shlex.join([PROGRAM, "pack", f"{folder}/plugin", "-t", "bench/packed:1", "--data", str(data)]),
            2: f"tar -C {shlex.quote(str(rootfs))} -cf - . | gzip -6 > {shlex.quote(str(file))}",
        }
        names = {1: OURS, 2: TAR}
        yield [placeholder(name, port) for port, name in names.items()], commands, size_bytes


def runs(commands: dict[int, str], size_bytes: int, server: Server, seconds: int) -> Outcome:
    """Run the command of a placeholder port repeatedly for at least `seconds`. Counts MiB of files."""
    begin, taken_seconds, peaks_mib = time.monotonic(), [], []
    while not taken_seconds or time.monotonic() - begin < seconds:
        taken, peak_mib = run_measured(commands[server.port])
        taken_seconds.append(taken)
        peaks_mib.append(peak_mib)
    return Outcome(
        amount=size_bytes / MIB * len(taken_seconds),
        seconds=sum(taken_seconds),
        p50_seconds=percentile(taken_seconds, 50),
        p99_seconds=percentile(taken_seconds, 99),
        figures={PEAK_MIB: max(peaks_mib)},
    )


def run_measured(command: str) -> tuple[float, float]:
    """Run a shell command. Return its seconds, and the largest memory of one of its processes in MiB."""
    measured = [sys.executable, "-I", "-S", "-c", _MEASURED, command]
    said = subprocess.run(measured, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return float(said[0]), int(said[1]) * 1024 / MIB


def placeholder(name: str, port: int) -> Contestant:
    """Return a contestant that is a program and no server. Its port only tells it from others."""
    return Contestant(name, lambda: nullcontext(Server(port, os.getpid())))
