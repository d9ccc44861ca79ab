"""Every test here runs against a server in this process, and again against the program with two workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count

import pytest

from tests.conformance.client import Client, Name
from tests.conformance.servers import inside
from tests.harness.mirror import Mirror

_numbers = count(1)


@pytest.fixture(scope="session", params=["inside", "two-workers"])
def server(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A server that lets everybody do everything."""
    if request.param == "inside":
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
