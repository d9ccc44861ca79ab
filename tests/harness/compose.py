"""Docker Compose with a private engine."""

from pathlib import Path

from tests.harness import trixie
from tests.harness.command import CompletedRun, run
from tests.harness.engine import Engine


def missing() -> str | None:
    """Return a sentence that says how to get Docker Compose, or None."""
    return trixie.missing(trixie.COMPOSE)


def compose(engine: Engine, *arguments: str, folder: Path, check: bool = True) -> CompletedRun:
    """Run a command of Docker Compose in `folder`. Raises `CommandFailedError` for a non-zero exit code."""
    return run([str(trixie.COMPOSE), *arguments], environment=engine.client_environment, folder=folder, check=check)
