"""Small root file systems of Debian with Python, made of packages and never run as a machine of their own.

`mmdebstrap` makes each once, in `.tools/debian` of the checkout. It asks the machine's own mirrors and verifies their
signatures. Needs root.
"""

import fcntl
import hashlib
import os
import shutil
from pathlib import Path

from tests.harness import trixie
from tests.harness.command import run

FOLDER = trixie.FOLDER.with_name("debian")
#: Packages of an image in which the Dockerfile can work.
PACKAGES = ("base-files", "ca-certificates", "coreutils", "dash", "libstdc++6", "python3", "python3-venv")
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")


def missing() -> str | None:
    """Return a sentence that names what is missing, or None."""
    if os.geteuid() != 0:
        return "a root file system needs root"
    return None if shutil.which("mmdebstrap") else "mmdebstrap is not installed (Debian: apt-get install mmdebstrap)"


def extracted() -> Path:
    """Return a tar archive with `PACKAGES` of the machine's release, unpacked and not configured."""
    # The packages' own scripts take most of the time, and the image does without what they would do.
    return _made(trixie.MACHINE_RELEASE, "--variant=extract", f"--include={','.join(PACKAGES)}")


def installed(release: str) -> Path:
    """Return a tar archive with a small installation of a release, and the packages that plugin-mirror's depends on."""
    include = "--include=libstdc++6,python3,systemd-standalone-sysusers"
    return _made(release, "--variant=essential", include)


def _made(release: str, *options: str) -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    name = f"{release}-{hashlib.sha256(' '.join(options).encode()).hexdigest()[:8]}"
    archive = FOLDER / f"{name}.tar"
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            sources = FOLDER / f"{name}.sources"
            sources.write_text("\n".join(source.for_release(release) for source in trixie.machine_sources()))
            unfinished = archive.with_suffix(".part.tar")
            left_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
            run(
                ["mmdebstrap", "--quiet", *options, *left_out, release, str(unfinished), str(sources)],
                timeout_seconds=900,
            )
            unfinished.rename(archive)
    return archive
