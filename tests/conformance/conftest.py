"""The servers under test: one in this process for every test, and the program with two workers for some.

The marker ``two_workers`` selects the tests in which one request reads the state that an earlier request has left: with
two workers, different processes may answer them. ``make matrix`` runs every test against all servers, also over TLS.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from itertools import count

import pytest
import trustme

from tests.conformance.client import Client, Name
from tests.conformance.servers import inside
from tests.harness.mirror import Mirror
from tests.harness.tls_files import TlsFiles

INSIDE, TWO_WORKERS, TLS = "inside", "two-workers", "tls"
_numbers = count(1)


@pytest.fixture(scope="session", params=[INSIDE, TWO_WORKERS, TLS])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that lets everybody do everything."""
    if request.param == INSIDE:
        with inside() as served:
            yield Client(served.port)
    elif request.param == TWO_WORKERS:
        with Mirror(workers=2) as mirror:
            yield Client(mirror.port)
    else:
        ca, context = trustme.CA(), ssl.create_default_context()
        ca.configure_trust(context)
        files = TlsFiles(tmp_path_factory.mktemp("tls"), ca.issue_cert("127.0.0.1"))
        with Mirror(workers=2, sections={"server": {"tls": files.section}}) as mirror:
            yield Client(mirror.port, context)


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
