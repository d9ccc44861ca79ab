"""Upkeep beside the clients: collection, scrub, backup and eviction, each a process that may be killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror
from tests.torture.inspection import inspect
from tests.torture.model import BrokenPromise
from tests.torture.report import Report

COLLECTION: Final = "collection"
BACKUP: Final = "backup"
COLLECT: Final = ("gc", "--grace", "0s", "--untagged", "0s")
KINDS: Final = (COLLECTION, "scrub", BACKUP, "eviction")


class Upkeep:
    """Runs upkeep on the data folder of a server.

    Args:
        mirror: The server.
        choices: Random choices.
        report: Gets the number of runs and kills.
    """

    def __init__(self, mirror: Mirror, choices: random.Random, report: Report) -> None:
        self._mirror = mirror
        self._choices = choices
        self._report = report

    @contextmanager
    def beside(self, kinds: Collection[str]) -> Iterator[None]:
        """Run upkeep of some kinds beside the block. Afterwards let each process end, or kill it."""
        with ExitStack() as running:
            for kind in kinds:
                running.enter_context(self._running(kind))
            yield

    def restore(self) -> None:
        """Restore the last complete backup, and check every file of it."""
        if not (self._backup / "backup.json").exists():
            return
        with tempfile.TemporaryDirectory(prefix="torture-") as folder:
            restored = Path(folder) / "data"
            plugin_mirror("restore", str(self._backup), "--data", str(restored))
            self._report.inspected_bytes += inspect(restored).size_bytes
            shutil.rmtree(restored)
        self._report.upkeep["restore"] += 1

    @property
    def _backup(self) -> Path:
        return self._mirror.folder / "backup"

    @contextmanager
    def _running(self, kind: str) -> Iterator[None]:
        with subprocess.Popen(
            self._command(kind), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
        ) as process:
            try:
                yield
            finally:
                if self._choices.random() < 0.5:
                    process.kill()
                messages, _ = process.communicate()
        if process.returncode == -signal.SIGKILL:
            self._report.kills[kind] += 1
        elif process.returncode == 0:
            self._report.upkeep[kind] += 1
        else:
            raise BrokenPromise(f"{kind} ended with exit code {process.returncode}: {messages}")

    def _command(self, kind: str) -> list[str]:
        if kind == "eviction":
            return [sys.executable, "-m", "tests.torture.evicting", str(self._mirror.data)]
        arguments = {COLLECTION: COLLECT, BACKUP: (BACKUP, str(self._backup))}.get(kind, (kind,))
        return [PROGRAM, *arguments, "--config", str(self._mirror.config)]
