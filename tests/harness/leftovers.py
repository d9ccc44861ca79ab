"""Find and end the processes and mounts that a container engine left behind.

Processes are never selected by program name. A process belongs to an engine only if its command line or its control
group contains the engine's own folder or one of its plugin ids.
"""

import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.harness.readiness import wait_until

_UNMOUNT_ROUNDS = 5


def processes_naming(marks: Iterable[str]) -> set[int]:
    """Return the ids of live processes whose command line or control group contains one of `marks`.

    Zombies and the current process are left out.
    """
    wanted = [mark.encode() for mark in marks]
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # the process ended meanwhile
            text = (entry / "cmdline").read_bytes() + b"\n" + (entry / "cgroup").read_bytes()
            state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if state != b"Z" and any(mark in text for mark in wanted):
                found.add(int(entry.name))
    return found


def end_processes(marks: Iterable[str], *, patience_seconds: float) -> None:
    """Wait until no process contains one of `marks`, then send SIGKILL to the remaining ones.

    Args:
        marks: Texts to look for, see `processes_naming`.
        patience_seconds: Time that the processes have to end by themselves.

    Raises:
        TimeoutError: If processes survive SIGKILL for 10 s.
    """
    wanted = list(marks)
    with suppress(TimeoutError):
        wait_until(lambda: not processes_naming(wanted), "the processes to end", timeout_seconds=patience_seconds)
        return

    # Look again after each round of kills, since a process may have forked before it was killed.
    def killed_all() -> bool:
        remaining = processes_naming(wanted)
        for pid in remaining:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not remaining

    wait_until(killed_all, f"the processes of {wanted[0]} to be gone")


def mounts_below(folder: Path) -> list[Path]:
    """Return the mount points at or below `folder`, latest first, so that inner mounts come before outer ones."""
    prefix = str(folder.resolve())
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].replace("\\040", " ")  # the kernel escapes spaces in octal
        if point == prefix or point.startswith(f"{prefix}/"):
            points.append(Path(point))
    return points[::-1]


def unmount_below(folder: Path) -> None:
    """Unmount everything at or below `folder`. Busy mounts are detached lazily."""
    # A process that ends late may mount once more, and a mount may lie under another one.
    for _ in range(_UNMOUNT_ROUNDS):
        points = mounts_below(folder)
        if not points:
            return
        for point in points:
            for command in (["umount", str(point)], ["umount", "-l", str(point)]):
                if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                    break
