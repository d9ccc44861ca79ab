"""CPU time and memory of a server's processes under load, read from /proc."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench.sample import Cost

NOISY_CPU_SHARE = 0.1
"""Share of the machine's CPU time. If other processes use more, the report marks the measurement as doubtful."""

_PERIOD_SECONDS = 0.1
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return `pid` and the ids of all of its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process, including pages shared with others. 0 if the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return 0


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the CPU time that the processes have used since their start."""
    ticks = 0
    for pid in pids:
        if fields := _stat(pid):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_A_SECOND


class Watch:
    """Measures a server and its children during a `with` block. `cost` has the result."""

    def __init__(self, pid: int) -> None:
        self._pids = family(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self._rss_bytes = 0
        self._largest_rss_bytes = 0
        self._cost: Cost | None = None

    @property
    def cost(self) -> Cost:
        """Cost of the server during the block. Raises RuntimeError before the end of the block."""
        if self._cost is None:
            raise RuntimeError("the watch has not ended")
        return self._cost

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        self._before = self._clocks()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        after = self._clocks()
        self._stop.set()
        self._thread.join()
        self._look()
        server, ours, busy, all_seconds = (now - then for now, then in zip(after, self._before, strict=True))
        other = max(0.0, busy - server - ours) / all_seconds if all_seconds else 0.0
        self._cost = Cost(server, self._rss_bytes, self._largest_rss_bytes, other)

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD_SECONDS):
            self._look()

    def _look(self) -> None:
        each = [rss_bytes(pid) for pid in self._pids]
        self._rss_bytes = max(self._rss_bytes, sum(each))
        self._largest_rss_bytes = max(self._largest_rss_bytes, *each)

    def _clocks(self) -> tuple[float, float, float, float]:
        """Return CPU seconds so far: of the server, of the benchmark, of all processes, and in total with idle time.

        The benchmark's time includes that of its ended children.
        """
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        ours = sum(usage.ru_utime + usage.ru_stime for usage in own)
        return cpu_seconds(self._pids), ours, *_machine_seconds()


def _machine_seconds() -> tuple[float, float]:
    """Return the CPU seconds that all processes have used so far, and the CPU seconds in total with idle time."""
    user, nice, system, idle, waiting, *rest = (
        # Fields after the eighth (guest time) are already part of user time.
        int(field) / _TICKS_A_SECOND
        for field in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    )
    busy = user + nice + system + sum(rest)
    return busy, busy + idle + waiting


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the program's name, or an empty list if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
