"""`plugin-mirror pack` and `tar | gzip -6` on the same tree.

Both are programs that end. Memory and CPU time in the table are those of the benchmark itself.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.bench.content import MIB
from tests.bench.sample import Outcome, percentile
from tests.bench.servers import OURS, Contestant, Server
from tests.harness.mirror import PROGRAM

TAR = "tar | gzip -6"
_COPIES = 4
#: Installed packages, bytecode and static libraries are not part of the tree.
_LEFT_OUT = shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__", "*.a")


@contextmanager
def contestants() -> Iterator[tuple[list[Contestant], dict[int, str], int]]:
    """Yield both contestants, their commands by placeholder port, and the size of the tree in bytes.

    The tree has several copies of Python's standard library, with small and large files, texts and programs.
    """
    with tempfile.TemporaryDirectory(prefix="packing-") as made:
        folder = Path(made)
        for number in range(_COPIES):
            shutil.copytree(sysconfig.get_path("stdlib"), folder / f"plugin/rootfs/{number}", ignore=_LEFT_OUT)
        (folder / "plugin/config.json").write_text('{"Entrypoint": ["/driver"]}')
        size_bytes = sum(path.lstat().st_size for path in (folder / "plugin").rglob("*") if path.is_file())
        data, file = folder / "data", folder / "rootfs.tar.gz"
        commands = {
            1: shlex.join([PROGRAM, "pack", f"{folder}/plugin", "-t", "bench/packed:1", "--data", str(data)]),
            2: f"tar -C {shlex.quote(f'{folder}/plugin/rootfs')} -cf - . | gzip -6 > {shlex.quote(str(file))}",
        }
        names = {1: OURS, 2: TAR}
        yield [_program(name, port) for port, name in names.items()], commands, size_bytes


def runs(commands: dict[int, str], size_bytes: int, server: Server, seconds: int) -> Outcome:
    """Run the command of a placeholder port repeatedly for at least `seconds`. Counts MiB of files."""
    begin, taken_seconds = time.monotonic(), []
    while not taken_seconds or time.monotonic() - begin < seconds:
        started = time.monotonic()
        subprocess.run(commands[server.port], shell=True, check=True, stdout=subprocess.DEVNULL)
        taken_seconds.append(time.monotonic() - started)
    return Outcome(
        amount=size_bytes / MIB * len(taken_seconds),
        seconds=sum(taken_seconds),
        p50_seconds=percentile(taken_seconds, 50),
        p99_seconds=percentile(taken_seconds, 99),
    )


def _program(name: str, port: int) -> Contestant:
    return Contestant(name, lambda: nullcontext(Server(port, os.getpid())))
