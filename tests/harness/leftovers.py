"""What a container engine may leave behind: processes and mounts of one folder, found and ended.

Nothing is searched by program name: a process is ours only if its command line or its control group names the
engine's own folder or one of its own plugin ids.
"""

import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.harness.readiness import wait_until


def processes_naming(marks: Iterable[str]) -> set[int]:
    """Ids of the living processes (zombies and ourselves aside) whose command line or control group holds a mark."""
    wanted = [mark.encode() for mark in marks]
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended meanwhile
            text = (entry / "cmdline").read_bytes() + b"\n" + (entry / "cgroup").read_bytes()
            state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if state != b"Z" and any(mark in text for mark in wanted):
                found.add(int(entry.name))
    return found


def end_processes(marks: Iterable[str], *, patience_seconds: float) -> None:
    """Wait until no process names one of `marks`, then SIGKILL those that remain.

    Raises `TimeoutError` when some survive even that.
    """
    wanted = list(marks)
    with suppress(TimeoutError):
        wait_until(lambda: not processes_naming(wanted), patience_seconds, "the processes to end")
        return

    def killed_all() -> bool:
        remaining = processes_naming(wanted)
        for pid in remaining:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not remaining

    wait_until(killed_all, 10, f"the processes of {wanted[0]} to be gone")


def mounts_below(folder: Path) -> list[Path]:
    """Mount points at or below `folder`, the innermost and latest first."""
    prefix = str(folder.resolve())
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].replace("\\040", " ")
        if point == prefix or point.startswith(f"{prefix}/"):
            points.append(Path(point))
    return points[::-1]


def unmount_below(folder: Path) -> None:
    """Unmount everything at or below `folder`, lazily where it is busy."""
    for point in mounts_below(folder):
        for command in (["umount", str(point)], ["umount", "-l", str(point)]):
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                break
