"""Build the Debian packages of this release. Run it with `make deb`.

A package has its own Python packages in /usr/lib/plugin-mirror, a virtual environment of the system's Python. Compiled
modules fit one version of Python, so each Debian release has its own package. On one commit, two runs write the same
bytes.
"""

import gzip
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from importlib.metadata import distributions
from pathlib import Path

from deploy.release.checkout import DIST, ROOT, build_wheel, copy_files, release_time, report, run_program, tell
from deploy.release.wheels import Target, collect, release_lock
from mirror import __version__
from mirror.cli.start.manual_pages import manual_pages

NAME = "plugin-mirror"
FILES = Path(__file__).with_name("debian")
UNITS = ROOT / "deploy/systemd"
HOME = f"usr/lib/{NAME}"
DOCUMENTS = f"usr/share/doc/{NAME}"
#: Places of the scripts that complete commands in shells.
COMPLETIONS = {
    "bash": f"usr/share/bash-completion/completions/{NAME}",
    "zsh": f"usr/share/zsh/vendor-completions/_{NAME}",
    "fish": f"usr/share/fish/vendor_completions.d/{NAME}.fish",
}
EXAMPLES = ("config", "deploy")
PAGES = ("README.md", "docs")


@dataclass(frozen=True)
class DebianRelease:
    """A release of Debian that gets a package.

    Attributes:
        number: number of the release.
        target: its Python, and the machine of the package.
    """

    number: int
    target: Target

    @property
    def version(self) -> str:
        """Version of the package. That of a later Debian release is higher, so that an upgrade replaces the package."""
        return f"{__version__}+deb{self.number}"

    @property
    def file(self) -> str:
        """Name of the package's file."""
        return f"{NAME}_{self.version}_amd64.deb"


BOOKWORM = DebianRelease(12, Target("3.11"))
TRIXIE = DebianRelease(13, Target("3.13"))

_MAINTAINER = "Docker plugin mirror <plugin-mirror@packages.invalid>"
_CONTROL = """\
Package: {name}
Version: {version}
Architecture: amd64
Maintainer: {maintainer}
Installed-Size: {kibibytes}
Depends: libc6 (>= 2.28), libgcc-s1, libstdc++6, python3 (>= {python}), python3 (<< {next_python}), \
systemd-standalone-sysusers | systemd-sysusers
Suggests: docker.io
Section: net
Priority: optional
Description: registry, proxy and mirror for Docker managed plugins
 Docker Engine installs its managed plugins only from a registry. This server
 copies plugins from upstream registries, serves them under the names of the
 site, also when the upstream is gone, and accepts pushes. It serves images
 and other OCI artifacts too.
"""
_CHANGELOG = """\
{name} ({version}) stable; urgency=medium

  * Release {release}. CHANGELOG.md.gz lists its changes.

 -- {maintainer}  {date}
"""
_COPYRIGHT = """\
Copyright: 2026 the authors of the Docker plugin mirror
License: Apache-2.0, see /usr/share/common-licenses/Apache-2.0

/usr/lib/plugin-mirror has the following packages with licences of their own. Their texts are in the folder
*.dist-info of each package.

"""


def build_package(release: DebianRelease, wheel: Path, folder: Path, made_at: datetime) -> Path:
    """Build the package of a Debian release in a folder and return its path.

    Args:
        release: release of Debian.
        wheel: wheel of this checkout.
        folder: folder of the result.
        made_at: time of the package and of all its files.

    Raises:
        ReleaseError: a wheel cannot be had, or a program is missing or fails.
    """
    wheels = [*collect(release.target), wheel]
    with tempfile.TemporaryDirectory() as made:
        tree = Path(made) / "tree"
        tree.mkdir()
        _add_program(tree, release.target, wheels)
        _add_service(tree)
        _add_pages(tree, release, made_at)
        _add_control(tree, release)
        for path in [tree, *tree.rglob("*")]:
            os.utime(path, (made_at.timestamp(),) * 2, follow_symlinks=False)
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        run_program(
            [
                "dpkg-deb",
                "--build",
                "--root-owner-group",
                "-Zxz",
                "-z1",
                "--threads-max=1",
                str(tree),
                str((folder / release.file).absolute()),
            ],
            environment={"SOURCE_DATE_EPOCH": str(int(made_at.timestamp()))},
        )
    return folder / release.file


def _add_program(tree: Path, target: Target, wheels: Sequence[Path]) -> None:
    home = tree / HOME
    packages = home / f"lib/python{target.python}/site-packages"
    with tempfile.TemporaryDirectory() as made:
        for wheel in wheels:
            Path(made, wheel.name).symlink_to(wheel.absolute())
        lock = Path(made, "requirements.lock")
        lock.write_text(release_lock(wheels[-1]))
        # uv can install for another Python than that of this machine.
        run_program(
            [
                *(str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-config", "--no-cache"),
                *("--offline", "--no-index", "--find-links", made, "--require-hashes", "--requirement", str(lock)),
                *("--python-version", target.python, "--python-platform", f"{target.machine}-manylinux_2_28"),
                *("--link-mode", "copy", "--target", str(packages)),
            ]
        )
    # The commands of other packages and the notes about this installation are of no use, and tell of this machine.
    shutil.rmtree(packages / "bin")
    for name in (".lock", "*.dist-info/RECORD", "*.dist-info/REQUESTED", "*.dist-info/uv_cache.json"):
        for path in packages.glob(name):
            path.unlink()
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {target.python}\n"
    )
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to("../../../bin/python3")
    program = home / f"bin/{NAME}"
    # -I: the modules of the user who runs the command are none of the program's.
    program.write_text(f"#!/{HOME}/bin/python3 -I\nimport sys\n\nfrom mirror.cli import main\n\nsys.exit(main())\n")
    program.chmod(0o755)
    command = _file(tree, f"usr/bin/{NAME}")
    command.symlink_to(f"../lib/{NAME}/bin/{NAME}")


def _add_service(tree: Path) -> None:
    for unit in [*UNITS.glob("*.service"), *UNITS.glob("*.timer")]:
        text = unit.read_text().replace(f"/opt/{NAME}/bin/", "/usr/bin/")
        # The comment at the top is about an installation by hand, which has no manual pages.
        text = text[text.index("[Unit]") :].replace("[Unit]\n", f"[Unit]\nDocumentation=man:{NAME}(1)\n", 1)
        _file(tree, f"lib/systemd/system/{unit.name}").write_text(text)
    shutil.copy(UNITS / f"{NAME}.sysusers", _file(tree, f"usr/lib/sysusers.d/{NAME}.conf"))
    shutil.copy(ROOT / "config/service.yaml", _file(tree, f"etc/{NAME}/config.yaml"))
    for shell, place in COMPLETIONS.items():
        script = run_program([str(Path(sys.executable).with_name(NAME)), "completion", shell])
        _file(tree, place).write_text(script)


def _add_pages(tree: Path, release: DebianRelease, made_at: datetime) -> None:
    for name, page in manual_pages():
        _add_compressed(tree, f"usr/share/man/man1/{name}", page)
    _add_compressed(tree, f"{DOCUMENTS}/CHANGELOG.md", (ROOT / "CHANGELOG.md").read_text())
    date = format_datetime(made_at)
    entry = _CHANGELOG.format(
        name=NAME, version=release.version, release=__version__, maintainer=_MAINTAINER, date=date
    )
    _add_compressed(tree, f"{DOCUMENTS}/changelog", entry)
    shutil.copy(FILES / "lintian-overrides", _file(tree, f"usr/share/lintian/overrides/{NAME}"))
    documents = tree / DOCUMENTS
    for name in PAGES:
        copy_files(name, documents / name)
    for name in EXAMPLES:
        copy_files(name, documents / "examples" / Path(name).name, without="deploy/release")
    found = distributions(path=[str(tree / HOME / f"lib/python{release.target.python}/site-packages")])
    packages = sorted(
        (each.name, each.version, each.metadata["License-Expression"] or each.metadata["License"] or "")
        for each in found
    )
    lines = [
        f"{name} {version}: {licence.partition(chr(10))[0] or 'see its METADATA'}\n"
        for name, version, licence in packages
    ]
    (documents / "copyright").write_text(_COPYRIGHT + "".join(lines))


def _add_control(tree: Path, release: DebianRelease) -> None:
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(tree)}\n"
        for path in files
    ]
    major, minor = release.target.python.split(".")
    control = _CONTROL.format(
        name=NAME,
        version=release.version,
        maintainer=_MAINTAINER,
        kibibytes=sum(-(-path.stat().st_size // 1024) for path in files),
        python=release.target.python,
        next_python=f"{major}.{int(minor) + 1}",
    )
    _file(tree, "DEBIAN/control").write_text(control)
    (tree / "DEBIAN/md5sums").write_text("".join(sums))
    (tree / "DEBIAN/conffiles").write_text(f"/etc/{NAME}/config.yaml\n")
    for script in ("postinst", "prerm", "postrm"):
        shutil.copy(FILES / script, tree / "DEBIAN")


def _add_compressed(tree: Path, name: str, text: str) -> None:
    _file(tree, f"{name}.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def _file(tree: Path, name: str) -> Path:
    """Return the path of a file in the tree, after its folder is created."""
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def main() -> None:
    """Build the package of each Debian release in dist/, and print their paths."""
    made_at = release_time()
    wheel = build_wheel(DIST, made_at)
    for release in (BOOKWORM, TRIXIE):
        tell(f"building {release.file}")
        print(build_package(release, wheel, DIST, made_at))


if __name__ == "__main__":
    sys.exit(report(main))
