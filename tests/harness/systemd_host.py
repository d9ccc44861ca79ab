"""A host with systemd as its first process: namespaces over an overlay of this machine's files. Needs root.

This machine never sees what the host writes, apart from its control groups, which are removed in the end.
"""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.command import SYSTEM_PATH, CompletedRun, run
from tests.harness.readiness import wait_until

SYSTEMD = Path("/lib/systemd/systemd")
_CHECKOUT = Path(__file__).resolve().parents[2]
_CGROUPS = Path("/sys/fs/cgroup")
#: Hierarchies in which systemd makes groups: both of a machine with version 1, or the only one.
_HIERARCHIES = ("",) if (_CGROUPS / "cgroup.controllers").exists() else ("systemd", "unified")
#: Folders of this machine, which units with ProtectHome= could not read where they are, by their place on the host.
_BORROWED = {
    "/opt/python": Path(sys.base_prefix).resolve(),
    "/opt/plugin-mirror/packages": Path(sysconfig.get_path("purelib")).resolve(),
    "/opt/plugin-mirror/code": _CHECKOUT,
}
_PROGRAM = f"""\
#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/plugin-mirror/code:/opt/plugin-mirror/packages
exec /opt/python/bin/python{sys.version_info[0]}.{sys.version_info[1]} -P -c 'from mirror.cli import main; main()' "$@"
"""
# $0 is the host's folder. Changes go to a file system in memory, since a layer must not lie within the one below it.
# /proc/sys and /sys are for reading, since the kernel is this machine's.
_START = r"""
set -e
mount --make-rprivate /
mount -t tmpfs changes "$0/host"
mkdir "$0/host/new" "$0/host/work" "$0/host/root"
mount -t overlay -o "lowerdir=/,upperdir=$0/host/new,workdir=$0/host/work" host "$0/host/root"
while [ "$1" != -- ]; do
    mkdir -p "$0/host/root$2"
    mount --bind "$1" "$0/host/root$2"
    mount -o remount,bind,ro "$0/host/root$2"
    shift 2
done
cd "$0/host/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
chmod 1777 tmp
for device in null zero full random urandom tty; do touch "dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
mkdir dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
if [ -d /sys/fs/cgroup/unified ]; then
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
else
    mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
mkdir -p old
pivot_root . old
umount -l /old
mount --make-rshared /  # systemd mounts the secrets of a unit in another namespace
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=sysinit.target --log-target=journal --show-status=no
"""


class SystemdHost:
    """A host on which only systemd and its journal run, and plugin-mirror is installed in `/opt/plugin-mirror`.

    The host has the network of the thread that starts it: start it within `no_network`.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str | None:
        """Return a sentence that says why no such host can run here and how to fix it, or None."""
        if os.geteuid() != 0:
            return "a host with systemd needs root"
        if not SYSTEMD.exists():
            return "systemd is not installed (Debian: apt-get install systemd)"
        return None

    @property
    def root(self) -> Path:
        """Root folder of the host, as this machine sees it."""
        return Path(f"/proc/{self._first_process()}/root")

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="host-"))
        try:
            for name in ("bin", "host"):
                (self._folder / name).mkdir()
            program = self._folder / "bin/plugin-mirror"
            program.write_text(_PROGRAM)
            program.chmod(0o755)
            for group in self._groups():
                group.mkdir()
            self._start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean_up()

    def run(self, *argv: str, check: bool = True, input_text: str | None = None) -> CompletedRun:
        """Run a program as root of the host. Raises `CommandFailedError` for a non-zero exit code."""
        entering = ["nsenter", "--target", str(self._first_process()), "--mount", "--pid", "--uts", "--ipc", "--cgroup"]
        environment = {"PATH": f"/opt/plugin-mirror/bin:{SYSTEM_PATH}", "LANG": "C.UTF-8"}
        return run(
            [*entering, "--root", "--wd", "--", *argv], environment=environment, check=check, input_text=input_text
        )

    def journal(self, unit: str) -> str:
        """Return the messages of a unit."""
        return self.run("journalctl", "--unit", unit, "--output", "cat", "--no-pager").stdout

    def _groups(self) -> list[Path]:
        assert self._folder is not None
        return [_CGROUPS / hierarchy / self._folder.name for hierarchy in _HIERARCHIES]

    def _start(self) -> None:
        assert self._folder is not None
        borrowed = {**_BORROWED, "/opt/plugin-mirror/bin": self._folder / "bin"}
        words = [word for place, folder in borrowed.items() for word in (str(folder), place)]
        # The shell joins its control groups before `unshare` makes them the roots that the host sees.
        joining = "".join(f'echo $$ > "{group}/cgroup.procs"; ' for group in self._groups())
        # If the test run is killed, so is the host.
        unshare = "exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --uts --ipc --cgroup"
        with (self._folder / "start.log").open("wb") as output:
            self._process = subprocess.Popen(
                ["sh", "-ec", f'{joining}{unshare} sh -ec "$0" "$@"', _START, str(self._folder), *words, "--"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,
            )
        wait_until(self._is_up, "systemd to be up")

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._folder is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"the host ended: {(self._folder / 'start.log').read_text()}")
        with suppress(RuntimeError):
            return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")
        return False

    def _first_process(self) -> int:
        """Return the id of the host's first process on this machine."""
        if self._process is None:
            raise RuntimeError("the host is not open")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            raise RuntimeError("the host has no process yet")
        return int(children[0])

    def _clean_up(self) -> None:
        """Kill all processes of the host, which ends its namespaces with their mounts, and remove what is left."""
        assert self._folder is not None
        if self._process is not None:
            with suppress(ProcessLookupError, RuntimeError, FileNotFoundError):
                os.kill(self._first_process(), signal.SIGKILL)
            self._process.wait(timeout=60)
        for group in self._groups():
            for inner in sorted(group.rglob("cgroup.procs"), key=lambda path: -len(path.parts)):
                inner.parent.rmdir()
        shutil.rmtree(self._folder)
        self._folder = self._process = None
