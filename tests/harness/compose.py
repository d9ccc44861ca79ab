"""Docker Compose with a private engine, and an image of plugin-mirror that no registry has to give."""

import io
import sys
import tarfile
from pathlib import Path

from mirror import __version__
from tests.harness import trixie
from tests.harness.command import CompletedRun, run
from tests.harness.engine import Engine

IMAGE = f"plugin-mirror:{__version__}"
#: User and group of the image.
USER = 10001
_CHECKOUT = Path(__file__).resolve().parents[2]
#: Folders of this machine that have the interpreter, its libraries, the packages and the code.
MACHINE_FOLDERS = tuple(
    dict.fromkeys(("/usr", "/etc/ssl", *(str(Path(one).resolve()) for one in (sys.base_prefix, sys.prefix, _CHECKOUT))))
)
_LINKS = ("bin", "lib", "lib64", "sbin")


def missing() -> str | None:
    """Return a sentence that says how to get Docker Compose, or None."""
    return trixie.missing(trixie.COMPOSE)


def import_image(engine: Engine) -> None:
    """Give the engine an image with the name, user, entrypoint and folders of plugin-mirror's, and without its files.

    The files come from this machine: mount `MACHINE_FOLDERS` at the same paths.
    """
    with tarfile.open(engine.folder / "image.tar", "w") as archive:
        for name in _LINKS:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            archive.addfile(link)
        for name, owner, mode in (("data", USER, 0o700), ("etc/plugin-mirror", 0, 0o755)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.uid, folder.gid, folder.mode = tarfile.DIRTYPE, owner, owner, mode
            archive.addfile(folder)
        passwd = f"plugin-mirror:x:{USER}:{USER}::/data:/usr/sbin/nologin\n".encode()
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(passwd)
        archive.addfile(entry, io.BytesIO(passwd))
    changes = (
        f"USER {USER}:{USER}",
        "VOLUME /data",
        f"ENV PATH={Path(sys.executable).parent.resolve()}:/usr/bin PYTHONPATH={_CHECKOUT}",
        'ENTRYPOINT ["plugin-mirror"]',
        'CMD ["serve"]',
    )
    options = [word for change in changes for word in ("--change", change)]
    engine.docker("import", *options, str(engine.folder / "image.tar"), IMAGE)


def compose(engine: Engine, *arguments: str, folder: Path, check: bool = True) -> CompletedRun:
    """Run a command of Docker Compose in `folder`. Raises `CommandFailedError` for a non-zero exit code."""
    return run([str(trixie.COMPOSE), *arguments], environment=engine.client_environment, folder=folder, check=check)
