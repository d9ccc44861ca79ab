"""Put all that a machine without a network needs into one archive. Run it with `make offline-kit`.

The archive has the wheels of each supported Python and machine, the Debian packages, the container image, the units,
examples of configurations, the documents as text and as a site, the SBOM, and the SHA-256 of each file.
"""

import argparse
import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploy.release.bill_of_materials import describe
from deploy.release.checkout import (
    DIST,
    LOCK,
    ROOT,
    ReleaseError,
    build_wheel,
    copy_files,
    release_time,
    report,
    tell,
    write_tar,
)
from deploy.release.container_image import BASE, IMAGE, add_options, build_image, find_builder, save_image
from deploy.release.debian_package import BOOKWORM, TRIXIE, DebianRelease, build_package
from deploy.release.html_pages import build_pages
from deploy.release.image_archive import write_archive
from deploy.release.wheels import TARGETS, Target, collect, release_lock
from mirror import __version__

NAME = f"plugin-mirror-{__version__}-offline"
IMAGE_FILE = f"plugin-mirror-{__version__}-image.tar"
DOCUMENTS = ("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "config", "deploy", "docs")
GUIDE = "docs/guides/install-offline.md"


@dataclass(frozen=True)
class Content:
    """Choice of what a kit has.

    Attributes:
        targets: Pythons and machines that get wheels.
        releases: Debian releases that get a package.
        base: base of the image, or None for a kit without an image.
        python: version of Python in the base.
        pages: True for a kit with the documents as a site, too.
    """

    targets: Sequence[Target] = tuple(TARGETS)
    releases: Sequence[DebianRelease] = (BOOKWORM, TRIXIE)
    base: str | None = BASE
    python: str = "3.11"
    pages: bool = True


def build_kit(content: Content, folder: Path, made_at: datetime) -> Path:
    """Build a kit in a folder and return the path of its archive.

    Raises:
        ReleaseError: a part cannot be made. No archive is written.
    """
    # The engine is asked first, so that a missing one is reported before all other work.
    builder = find_builder() if content.base else None
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        kit = Path(made) / NAME
        (kit / "wheels").mkdir(parents=True)
        (kit / "debian").mkdir()
        wheel = build_wheel(kit / "wheels", made_at)
        for target in content.targets:
            for each in collect(target):
                shutil.copy(each, kit / "wheels")
        (kit / LOCK.name).write_text(release_lock(wheel))
        (kit / f"{wheel.stem}.cdx.json").write_text(describe(wheel, LOCK.read_text(), made_at))
        for release in content.releases:
            tell(f"building {release.file}")
            build_package(release, wheel, kit / "debian", made_at)
        if builder and content.base:
            tell(f"building {IMAGE}")
            build_image(builder, wheel, base=content.base, python=content.python)
            save_image(builder, saved := Path(made) / "saved.tar")
            tell(f"writing {IMAGE_FILE}")
            write_archive(saved, IMAGE, kit / IMAGE_FILE, made_at)
            saved.unlink()
        for name in DOCUMENTS:
            # The programs of this folder need a checkout.
            copy_files(name, kit / name, without="deploy/release")
        if content.pages:
            tell("making the site of the documents")
            build_pages(kit / "html", parsed := Path(made) / "parsed")
            shutil.rmtree(parsed)
        (kit / "INSTALL.md").write_text(_from_the_top((ROOT / GUIDE).read_text()))
        _write_sums(kit)
        tell(f"writing {NAME}.tar")
        write_tar(folder / f"{NAME}.tar", Path(made), made_at)
        _summarise(kit, folder / f"{NAME}.tar", content)
    return folder / f"{NAME}.tar"


def _from_the_top(guide: str) -> str:
    """Return the text of a guide, with links that hold two folders above."""
    return re.sub(r"\]\((\.\./)?(?=[\w.-]+\.md)", lambda link: f"](docs/{'' if link[1] else 'guides/'}", guide)


def _write_sums(kit: Path) -> None:
    files = sorted(path for path in kit.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(kit)}\n" for path in files]
    (kit / "SHA256SUMS").write_text("".join(lines))


def _summarise(kit: Path, archive: Path, content: Content) -> None:
    wheels = len(list((kit / "wheels").iterdir()))
    targets = ", ".join(f"{target.python} on {target.machine}" for target in content.targets)
    packages = ", ".join(release.file for release in content.releases) or "no Debian package"
    image = IMAGE_FILE if content.base else "no image (--without-image)"
    size = archive.stat().st_size / 1024**2
    tell(f"{archive}: {size:.1f} MiB with {wheels} wheels (Python {targets}), {packages}, {image}")


def main() -> None:
    """Build the kit in dist/ and print its path."""
    parser = argparse.ArgumentParser(prog="make offline-kit", description="Build the offline kit.")
    parser.add_argument("--without-image", action="store_true", help="leave out the container image")
    add_options(parser)
    asked = parser.parse_args()
    content = Content(base=None if asked.without_image else asked.base, python=asked.python)
    try:
        print(build_kit(content, DIST, release_time()))
    except ReleaseError as error:
        hint = "" if asked.without_image else "; or leave out the image: make offline-kit KIT=--without-image"
        raise ReleaseError(f"{error}{hint}") from None


if __name__ == "__main__":
    sys.exit(report(main))
