"""A program with a copy of /etc of its own: what it writes there, the machine never sees.

Engines read `/etc/docker/certs.d`, and no option changes this path. Needs root.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.harness.command import SYSTEM_PATH

# Mounts of the namespace are private, so that none of them reaches the machine.
_SCRIPT = 'mount -t overlay -o "lowerdir=/etc,upperdir=$0/new,workdir=$0/work" etc /etc && exec "$@"'


def with_own_etc(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Return the beginning of a command line: the program and arguments that follow get an own copy of /etc.

    Args:
        folder: Folder of the changes, which the next command with this folder finds again.
        files: Content by name of files that differ from the machine's.
    """
    for name in ("new", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "new" / name).write_text(content)
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT, str(folder)]


def etc_of(pid: int) -> Path:
    """Return the path of a process's /etc. It stays valid while the process runs."""
    return Path(f"/proc/{pid}/root/etc")


def entering(pid: int) -> list[str]:
    """Return the beginning of a command line that runs with the /etc of a process."""
    return [shutil.which("nsenter", path=SYSTEM_PATH) or "nsenter", f"--mount=/proc/{pid}/ns/mnt"]
