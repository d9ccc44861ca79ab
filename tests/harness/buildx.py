"""buildx with the BuildKit of a private engine, as a real client that writes and reads build caches."""

import os
from pathlib import Path

from tests.harness import trixie
from tests.harness.command import CompletedRun, run
from tests.harness.engine import Engine

#: Setting of an engine since 24 with which its own BuildKit can write caches to registries.
WITH_CACHES = {"features": {"containerd-snapshotter": True}}


def missing() -> str | None:
    """Return a sentence that says how to fetch buildx, or None if it is available."""
    return trixie.missing(trixie.BUILDX)


def build(engine: Engine, context: Path, *options: str) -> CompletedRun:
    """Build the Dockerfile in a folder. Raises `CommandFailedError` if the build fails.

    Args:
        engine: Engine made with `WITH_CACHES`.
        context: Folder with the Dockerfile and its files.
        options: Further options of `buildx build`, such as `--cache-to=type=registry,ref=…`.
    """
    # Without the variables, buildx would read and write the configuration of the user who runs the tests.
    home = engine.folder / "buildx"
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "DOCKER_HOST": f"unix://{engine.folder / 'engine.sock'}", "HOME": str(home)}
    return run(
        [str(trixie.BUILDX), "build", "--progress=plain", *options, str(context)],
        environment=environment,
        timeout_seconds=300,
    )
