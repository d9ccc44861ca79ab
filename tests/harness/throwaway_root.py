"""A root file system in which a program may install and change everything: the machine's own, under a layer in memory.

What happens there, the machine never sees. /proc, /sys, /dev and the folders that a test names are the machine's.
Needs root.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.command import SYSTEM_PATH, CompletedRun, run
from tests.harness.process import Service

# Changes go to a file system in memory, since a layer must not lie within the one below it. /run is empty, so that no
# program finds the sockets of the machine's services.
_SCRIPT = """\
set -e
mount -t tmpfs changes "$1"
cd "$1"; lower=$2; shift 2
mkdir new work root
mount -t overlay -o "lowerdir=$lower,upperdir=$PWD/new,workdir=$PWD/work" root root
mount -t tmpfs run root/run
mount -t tmpfs tmp root/tmp
for folder in /proc /sys /dev "$@"; do mkdir -p "root$folder"; mount --rbind "$folder" "root$folder"; done
touch root/run/ready
exec chroot root sleep infinity
"""


class ThrowawayRoot:
    """A root file system as a context manager.

    Args:
        shared: Folders of the machine that have the same path inside.
        lower: Folder with the root file system below the changes.
    """

    def __init__(self, *shared: Path, lower: Path = Path("/")) -> None:
        self._shared = [str(folder) for folder in shared]
        self._lower = lower
        self._folder: Path | None = None
        self._service: Service | None = None

    @staticmethod
    def missing() -> str | None:
        """Return a sentence that says why there can be no such file system, or None."""
        if os.geteuid() != 0:
            return "a root file system of its own needs root"
        absent = [program for program in ("dpkg", "unshare", "nsenter") if not shutil.which(program, path=SYSTEM_PATH)]
        return f"{', '.join(absent)} not installed: only Debian is supported" if absent else None

    @property
    def path(self) -> Path:
        """Path of the root file system for reading and writing from outside."""
        return Path(f"/proc/{self._pid()}/root")

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="root-", dir="/tmp"))
        script = ["sh", "-c", _SCRIPT, "sh", str(self._folder), str(self._lower), *self._shared]
        self._service = Service(
            ["unshare", "--mount", "--propagation", "private", *script],
            log=self._folder.with_suffix(".log"),
            ready=self._ready,
        )
        self._service.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._service is not None and self._folder is not None:
            self._service.stop()
            self._folder.with_suffix(".log").unlink()
            self._folder.rmdir()

    def entering(self, user: str = "root") -> Sequence[str]:
        """Return the beginning of a command line that runs inside, as a user."""
        enter = ["nsenter", f"--target={self._pid()}", "--mount", "--root", "env", "-i", "--chdir=/"]
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user != "root" else []
        return [*enter, f"PATH={SYSTEM_PATH}", "HOME=/root", "LANG=C.UTF-8", *as_user]

    def run(self, *argv: str, user: str = "root", check: bool = True) -> CompletedRun:
        """Run a program inside to its end. Raises `CommandFailedError` for a non-zero exit code if `check` is true."""
        return run([*self.entering(user), *argv], check=check)

    def _ready(self) -> bool:
        return (self.path / "run/ready").exists()

    def _pid(self) -> int:
        if self._service is None or self._service.pid is None:
            raise RuntimeError("the root file system is not open")
        return self._service.pid
