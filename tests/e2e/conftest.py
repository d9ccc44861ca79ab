"""Fixtures with real servers and engines for the end-to-end tests. Each one starts once per module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import trixie
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine, engine_release
from tests.harness.mirror import Mirror
from tests.harness.requirement import require


@pytest.fixture(scope="module")
def registry() -> Iterator[DockerRegistry]:
    """Debian's docker-registry, as a registry of another vendor."""
    require(DockerRegistry.missing())
    with DockerRegistry() as registry:
        yield registry


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    """A running plugin-mirror."""
    with Mirror() as mirror:
        yield mirror


@pytest.fixture
def kills(whole: bool) -> int:
    """How often a command is killed: the short form in ``make test``, the long one in ``make matrix``."""
    return 50 if whole else 3


ENGINES = (None, trixie.ENGINE_BINARIES)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests with each engine. `make test` has the last one alone for those marked `newest_engine`."""
    if "binaries" in metafunc.fixturenames:
        names = [engine_release(engine) or "absent" for engine in ENGINES]
        metafunc.parametrize("binaries", ENGINES, ids=names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def binaries(request: pytest.FixtureRequest) -> Path | None:
    """Folder of the engine's programs: None for the system's engine, then that of the next Debian release."""
    found: Path | None = request.param
    require(Engine.missing(found))
    return found


@pytest.fixture(scope="module")
def engine(binaries: Path | None) -> Iterator[Engine]:
    """A private Docker Engine, of each release in turn."""
    with Engine(binaries=binaries) as engine:
        yield engine
