"""Build the container image of this release from the Dockerfile. Run it with `make image`.

The build needs no network: the context has all wheels, and those of the lock have been compared with its hashes. The
base image must be in the engine, or the engine must reach its registry. `make image BASE=IMAGE` takes another base.
"""

import argparse
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.release.checkout import (
    DIST,
    LOCK,
    ReleaseError,
    build_wheel,
    copy_files,
    release_time,
    report,
    run_program,
    tell,
)
from deploy.release.wheels import Target, collect
from mirror import __version__

IMAGE = f"plugin-mirror:{__version__}"
BASE = "python:3.11-slim-bookworm"
#: Files of the checkout that the Dockerfile copies.
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "mirror", "config/container.yaml")


@dataclass(frozen=True)
class Builder:
    """A program that builds images.

    Attributes:
        build: command that builds a folder, without the options that all builders know.
        save: command that writes an image to a file, in the format of `docker save`, up to the name of the file.
    """

    build: Sequence[str]
    save: Sequence[str]


BUILDERS = {
    "docker": Builder(["docker", "build"], ["docker", "save", "--output"]),
    "podman": Builder(
        ["podman", "build", "--format=docker"], ["podman", "save", "--quiet", "--format=docker-archive", "--output"]
    ),
}


def find_builder() -> Builder:
    """Return the first builder that works here. Raises ReleaseError if none does."""
    for program, builder in BUILDERS.items():
        try:
            run_program([program, "info"])
        except ReleaseError:
            continue
        return builder
    raise ReleaseError(
        "neither docker nor podman can build the image here; "
        "fix: start Docker Engine, set DOCKER_HOST, or install podman"
    )


def build_image(builder: Builder, wheel: Path, *, base: str = BASE, python: str = "3.11") -> str:
    """Build the image and return its name.

    Args:
        builder: program that builds.
        wheel: wheel of this checkout.
        base: base image.
        python: version of Python in the base image.

    Raises:
        ReleaseError: a wheel cannot be had, or the build fails.
    """
    with tempfile.TemporaryDirectory() as made:
        context = Path(made)
        for name in ("Dockerfile", LOCK.name, *SOURCES):
            copy_files(name, context / name)
        (context / "wheels").mkdir()
        for each in [*collect(Target(python, platform.machine())), wheel]:
            shutil.copy(each, context / "wheels")
        options = ["--network=none", f"--build-arg=BASE={base}", f"--tag={IMAGE}"]
        run_program([*builder.build, *options, made], shown=True)
    return IMAGE


def save_image(builder: Builder, file: Path) -> None:
    """Write the image to a file in the format of `docker save`."""
    run_program([*builder.save, str(file), IMAGE])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about the base image."""
    parser.add_argument("--base", default=BASE, help="base image (default: %(default)s)")
    parser.add_argument("--python", default="3.11", help="version of Python in the base image (default: %(default)s)")


def main() -> None:
    """Build the image."""
    parser = argparse.ArgumentParser(prog="make image", description="Build the container image.")
    add_options(parser)
    asked = parser.parse_args()
    image = build_image(find_builder(), build_wheel(DIST, release_time()), base=asked.base, python=asked.python)
    tell(f"built {image}")


if __name__ == "__main__":
    sys.exit(report(main))
