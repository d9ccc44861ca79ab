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
def kills(request: pytest.FixtureRequest) -> int:
    """How often a command is killed: the short form in ``make test``, the long one in ``make matrix``."""
    return 50 if request.config.getoption("--matrix") else 3


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``--matrix``, deselect tests marked `matrix_only`, and half of the combinations marked `pairwise`."""
    if config.getoption("--matrix"):
        return
    left_out = {
        item
        for item in items
        if item.get_closest_marker("matrix_only") or (item.get_closest_marker("pairwise") and _is_odd(item))
    }
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _is_odd(item: pytest.Item) -> bool:
    # Half of all combinations have an even sum of positions, and any pair of values is in one of them.
    return isinstance(item, pytest.Function) and sum(item.callspec.indices.values()) % 2 == 1


ENGINES = (None, trixie.ENGINE_BINARIES)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests with each engine, those marked `newest_engine` with the last one."""
    if "binaries" in metafunc.fixturenames:
        every = metafunc.config.getoption("--matrix") or not metafunc.definition.get_closest_marker("newest_engine")
        engines = ENGINES if every else ENGINES[-1:]
        names = [engine_release(engine) or "absent" for engine in engines]
        metafunc.parametrize("binaries", engines, ids=names, indirect=True, scope="module")


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
