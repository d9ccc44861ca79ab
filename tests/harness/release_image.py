"""The container image that `make image` builds, on a root file system of `debian_base`.

An engine builds the image once for each state of the checkout. `.tools/image` keeps the result.
"""

import fcntl
import hashlib
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from deploy.release.checkout import LOCK, ROOT, build_wheel
from deploy.release.container_image import Builder, build_image, save_image
from tests.harness import debian_base
from tests.harness.engine import Engine

#: Name of the base image.
BASE = "debian-python:12"
FOLDER = debian_base.FOLDER.with_name("image")
#: Files that decide what is in the image, apart from the wheel.
_SOURCES = (LOCK, ROOT / "Dockerfile", ROOT / "config/container.yaml", Path(debian_base.__file__))
# The same for each commit, so that equal sources give equal wheels.
_MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)


def missing() -> str | None:
    """Return a sentence that names what is missing, or None."""
    return debian_base.missing()


def import_base(engine: Engine) -> None:
    """Give an engine the base image."""
    engine.docker("import", str(debian_base.extracted()), BASE)


def load_image(engine: Engine) -> None:
    """Give an engine the image. Raises ReleaseError if a wheel cannot be downloaded, or the build fails."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, (FOLDER / "lock").open("w") as lock:
        wheel = build_wheel(Path(made), _MADE_AT)
        key = hashlib.sha256(b"".join(source.read_bytes() for source in (wheel, *_SOURCES))).hexdigest()
        archive = FOLDER / f"{key[:16]}.tar"
        # Another process may build the same image.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if archive.exists():
            engine.docker("load", "--input", str(archive))
        else:
            _build(engine, wheel, archive)


def _build(engine: Engine, wheel: Path, archive: Path) -> None:
    for earlier in FOLDER.glob("*.tar"):
        earlier.unlink()
    import_base(engine)
    variables = [f"{name}={value}" for name, value in engine.client_environment.items()]
    client = ["env", *variables, "docker"]
    builder = Builder([*client, "build"], [*client, "save", "--output"])
    build_image(builder, wheel, base=BASE)
    unfinished = archive.with_suffix(".part")
    save_image(builder, unfinished)
    unfinished.rename(archive)
