"""Wheels of the locked packages for each Python and machine that a release supports.

pip downloads them into `.tools/wheels` of the checkout and compares each with the hashes of the lock. Complete folders
are used again without a network.
"""

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.release.checkout import LOCK, ROOT, ReleaseError, read_lock, tell
from mirror import __version__

WHEELS = ROOT / ".tools/wheels"
#: Minor versions of the C library 2.x that the wheels may be built for. Debian 11, RHEL 8 and later have 2.28.
_LIBC = range(17, 29)


@dataclass(frozen=True)
class Target:
    """A kind of machine that wheels are for.

    Attributes:
        python: version of CPython, such as `3.11`.
        machine: name of the processor, as `uname -m` prints it.
    """

    python: str
    machine: str = "x86_64"

    @property
    def abi(self) -> str:
        """Tag of the Python, such as `cp311`."""
        return f"cp{self.python.replace('.', '')}"


TARGETS = [Target(python, machine) for machine in ("x86_64", "aarch64") for python in ("3.11", "3.13")]


def collect(target: Target) -> Sequence[Path]:
    """Return one wheel for each package of the lock, after a download if wheels are missing.

    Raises:
        ReleaseError: pip cannot download a wheel, or none fits the target and the lock.
    """
    folder = WHEELS / f"{target.abi}-{target.machine}"
    found = _accepted(folder)
    if found is None:
        tell(f"downloading the wheels for Python {target.python} on {target.machine}")
        _download(target, folder)
        found = _accepted(folder)
    if found is None:
        raise ReleaseError(
            f"{folder} has not one wheel for each package of the lock; fix: rm -r {folder}, and try again"
        )
    return found


def release_lock(wheel: Path) -> str:
    """Return the text of the lock with the release itself, its wheel, as one more package."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{LOCK.read_text()}docker-plugin-mirror=={__version__} \\\n    --hash=sha256:{digest}\n"


def _accepted(folder: Path) -> Sequence[Path] | None:
    """Return the wheels that the lock accepts, sorted by name, or None if one is missing. Remove all other files."""
    packages = {digest: package.name for package in read_lock(LOCK.read_text()).values() for digest in package.sha256}
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        name = packages.get(hashlib.sha256(path.read_bytes()).hexdigest())
        if name is None or name in found:
            path.unlink()
        else:
            found[name] = path
    return list(found.values()) if found.keys() == set(packages.values()) else None


def _download(target: Target, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    platforms = [f"manylinux2014_{target.machine}", *(f"manylinux_2_{minor}_{target.machine}" for minor in _LIBC)]
    # Without --abi for the tags of stable and pure wheels, pip would look for those of this Python alone.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary=:all:", "--require-hashes", "--requirement", str(LOCK), "--dest", str(folder)),
            *("--implementation", "cp", "--python-version", target.python),
            *_each("--abi", [target.abi, "abi3", "none"]),
            *_each("--platform", platforms),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        errors = re.findall(r"^ERROR: (.*)$", done.stderr, re.MULTILINE) or [done.stderr.strip()]
        raise ReleaseError(
            f"the wheels for Python {target.python} on {target.machine} cannot be downloaded: {errors[0]}; "
            "fix: connect this machine to the package index, or set PIP_INDEX_URL"
        )


def _each(option: str, values: Iterable[str]) -> Iterable[str]:
    return (word for value in values for word in (option, value))
