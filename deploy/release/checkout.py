"""The checkout that a release is made of: its lock, its time, its wheel, and runs of programs."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mirror import __version__

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
LOCK = ROOT / "requirements.lock"


class ReleaseError(Exception):
    """A part of the release cannot be made."""


@dataclass(frozen=True)
class LockedPackage:
    """A package of the lock.

    Attributes:
        name: its normalised name.
        version: its version.
        sha256: the SHA-256 of each accepted file, as hexadecimal digits.
    """

    name: str
    version: str
    sha256: Sequence[str]


def read_lock(text: str) -> Mapping[str, LockedPackage]:
    """Return the packages of a lock file by name."""
    found = (
        LockedPackage(name, version, re.findall(r"--hash=sha256:([0-9a-f]{64})", hashes))
        for name, version, hashes in re.findall(r"^([\w.-]+)==(\S+)((?: \\\n +--hash=\S+)*)$", text, re.MULTILINE)
    )
    return {package.name: package for package in found}


def run_program(
    argv: Sequence[str], *, folder: Path = ROOT, environment: Mapping[str, str] | None = None, shown: bool = False
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        argv: program and arguments.
        folder: current folder of the program.
        environment: variables in addition to the current ones.
        shown: True to let the program write to this terminal. The result is then empty.

    Raises:
        ReleaseError: the program is missing or fails.
    """
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            capture_output=not shown,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise ReleaseError(f"{argv[0]} is not installed") from None
    if done.returncode:
        told = "" if shown else f": {done.stderr.strip() or done.stdout.strip()}"
        raise ReleaseError(f"exit code {done.returncode} of {shlex.join(argv[:4])} …{told}")
    return "" if shown else done.stdout


def release_time() -> datetime:
    """Return the time in SOURCE_DATE_EPOCH, or that of the last commit."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        try:
            epoch = run_program(["git", "log", "-1", "--format=%ct"])
        except ReleaseError:
            raise ReleaseError("the time of the last commit is unknown; fix: set SOURCE_DATE_EPOCH") from None
    return datetime.fromtimestamp(int(epoch), UTC)


def copy_files(name: str, target: Path, *, without: str | None = None) -> None:
    """Copy a file or a folder of the checkout, without what git ignores: secrets of a site, and what programs leave.

    Args:
        name: path below the checkout.
        target: path of the copy.
        without: a folder to leave out, below the checkout.

    Raises:
        ReleaseError: the folder is not a checkout of git.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", name]
    listed = run_program(command, folder=ROOT)
    for file in sorted(set(listed.split("\0")) - {""}):
        source = ROOT / file
        if source.is_file() and (without is None or not source.is_relative_to(ROOT / without)):
            copy = target / source.relative_to(ROOT / name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)


def build_wheel(folder: Path, made_at: datetime) -> Path:
    """Build the wheel of this checkout in a folder. Its files get the time of the release. Return its path."""
    run_program(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder.absolute())],
        environment={"SOURCE_DATE_EPOCH": str(int(made_at.timestamp()))},
    )
    return folder / f"docker_plugin_mirror-{__version__}-py3-none-any.whl"


def write_tar(archive: Path, folder: Path, made_at: datetime, first: Sequence[str] = ()) -> None:
    """Write the content of a folder to a tar archive. Equal folders give equal bytes.

    Args:
        archive: path of the archive, which appears only when it is complete.
        folder: folder with the content. Its own name is not part of the archive.
        made_at: time of all files.
        first: names of files that come first, in this order.
    """

    def as_released(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = int(made_at.timestamp())
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    unfinished = archive.with_name(f"{archive.name}.part")
    with tarfile.open(unfinished, "w", format=tarfile.GNU_FORMAT) as tar:
        paths = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts)
        begin = [folder / name for name in first]
        for path in [*begin, *(path for path in paths if path not in begin)]:
            tar.add(path, str(path.relative_to(folder)), recursive=False, filter=as_released)
    unfinished.rename(archive)


def report(program: Callable[[], object]) -> int:
    """Run a program of this package and return its exit code. A ReleaseError is printed as one line."""
    try:
        program()
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def tell(line: str) -> None:
    """Print a line about the progress on standard error."""
    print(line, file=sys.stderr, flush=True)
