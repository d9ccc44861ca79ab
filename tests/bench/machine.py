"""Description of the machine, without anything that identifies a particular machine."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench.content import GIB, MIB
from tests.harness.command import SYSTEM_PATH
from tests.harness.mirror import PROGRAM

_PROBE_BYTES = 256 * MIB
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?[\w.+~-]*")
_PROGRAMS = {
    "plugin-mirror": (PROGRAM, "--version"),
    "docker-registry": ("docker-registry", "--version"),
    "nginx": ("nginx", "-v"),
    "wrk": ("wrk", "-v"),
}


def describe(folder: Path) -> dict[str, str]:
    """Return the properties of the machine that matter for the measurements, by name. `folder` holds all data."""
    return {
        "CPU": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores for servers and load together",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GIB:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "file system": filesystem_of(folder, Path("/proc/self/mountinfo").read_text()),
        "disk, written and synced": f"{_median_of_3(partial(_disk_mib_per_second, folder)):.0f} MiB/s",
        "SHA-256 of hashlib": f"{_median_of_3(_sha256_mib_per_second):.0f} MiB/s",
        "Python": platform.python_version(),
        **{name: found for name, argv in _PROGRAMS.items() if (found := _version(*argv))},
    }


def filesystem_of(folder: Path, mountinfo: str) -> str:
    """Return the type of the file system that holds `folder`, according to the text of /proc/self/mountinfo."""
    found = "unknown"
    longest = -1
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split()[4].replace("\\040", " ")  # the kernel escapes spaces in octal
        # A later mount on the same point hides the earlier one, so the last of equally long points counts.
        if folder.is_relative_to(point) and len(point) >= longest:
            longest, found = len(point), rest.split()[0]
    return found


def version_in(text: str) -> str | None:
    """Return the first version number in `text`, or None."""
    found = _VERSION.search(text)
    return found[0] if found else None


def _cpu_model() -> str:
    found = re.search(r"(?m)^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _version(*argv: str) -> str | None:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=20, env=os.environ | {"PATH": _path()}
        )
    except FileNotFoundError:
        return None
    return version_in(done.stdout + done.stderr)


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"


def _median_of_3(probe: Callable[[], float]) -> float:
    return statistics.median(probe() for _ in range(3))


def _disk_mib_per_second(folder: Path) -> float:
    block = os.urandom(MIB)
    with tempfile.TemporaryFile(dir=folder) as file:
        begin = time.monotonic()
        for _ in range(_PROBE_BYTES // MIB):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return _PROBE_BYTES / MIB / (time.monotonic() - begin)


def _sha256_mib_per_second() -> float:
    block = bytes(MIB)
    hasher = hashlib.sha256()
    begin = time.monotonic()
    for _ in range(_PROBE_BYTES // MIB):
        hasher.update(block)
    return _PROBE_BYTES / MIB / (time.monotonic() - begin)
