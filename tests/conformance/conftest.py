"""The servers under test: one in this process for every test, and the program with two workers for some.

The marker ``two_workers`` selects the tests in which one request reads the state that an earlier request has left: with
two workers, different processes may answer them. ``--matrix`` runs every test against both servers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count

import pytest

from tests.conformance.client import Client, Name
from tests.conformance.servers import inside
from tests.harness.mirror import Mirror

INSIDE, TWO_WORKERS = "inside", "two-workers"
_numbers = count(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the runs with two workers of tests without the marker, unless ``--matrix`` is given."""
    if config.getoption("--matrix"):
        return
    left_out = {item for item in items if _has_two_workers(item) and not item.get_closest_marker("two_workers")}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _has_two_workers(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get("server") == TWO_WORKERS


@pytest.fixture(scope="session", params=[INSIDE, TWO_WORKERS])
def server(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A server that lets everybody do everything."""
    if request.param == INSIDE:
        with inside() as served:
            yield Client(served.port)
    else:
        with Mirror(workers=2) as mirror:
            yield Client(mirror.port)


@pytest.fixture
def name(server: Client, request: pytest.FixtureRequest) -> Name:
    """A repository that nothing has been pushed to."""
    return _fresh_name(server, request)


@pytest.fixture
def other(server: Client, request: pytest.FixtureRequest) -> Name:
    """Another one."""
    return _fresh_name(server, request)


def _fresh_name(server: Client, request: pytest.FixtureRequest) -> Name:
    words = re.sub(r"[^a-z0-9]+", "-", request.function.__name__)
    return Name(server, f"{words}/r{next(_numbers)}")
