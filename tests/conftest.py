"""Settings of the test suite: sizes of property tests, ``make matrix``, and the assignment of tests to processes."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from mirror.access import passwords
from tests.harness.bucket_server import BucketServer
from tests.harness.requirement import require
from tests.support import databases, quick_catalogs
from tests.support.selection import WHOLE, is_selected

# A busy machine makes examples slow, not wrong: neither a deadline nor a slow generator fails a test.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", _PATIENT, max_examples=30)
# The same examples in each run, so that a failure comes from the change and not from a new example.
settings.register_profile("ci", _PATIENT, max_examples=60, derandomize=True)
settings.register_profile("nightly", _PATIENT, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

# structlog prints by default. Through the standard library, pytest shows the log lines of failing tests only.
logging.getLogger("mirror").setLevel(logging.DEBUG)
structlog.configure(
    processors=[
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=False,
)


# A real hash costs a fifth of a second, on purpose. Programs that tests start keep the real cost.
passwords.COST = 4
quick_catalogs.make_quickly()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgresql", action="store_true", help="stores of tests have their catalogs in PostgreSQL")
    parser.addoption("--matrix", action="store_true", help="run what is left out, or done in a short form, without it")


@pytest.fixture(scope="session", name=WHOLE)
def _whole(request: pytest.FixtureRequest) -> bool:
    """True in ``make matrix``, where a test with this fixture runs in its long form."""
    return bool(request.config.getoption("--matrix"))


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--postgresql"):
        databases.use_postgresql()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selected = [item for item in items if is_selected(item, matrix=config.getoption("--matrix"))]
    if len(selected) < len(items):
        kept = set(selected)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = selected
    # Long files begin first, so that no process is left with one at the end. End-to-end tests wait for engines: the
    # others fill the time between.
    items.sort(key=lambda item: (item.get_closest_marker("long") is None, item.get_closest_marker("e2e") is None))


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[BucketServer]:
    """A real S3 server. Each test makes a bucket of its own."""
    require(BucketServer.missing())
    with BucketServer() as server:
        yield server


class _FileScheduling(LoadScopeScheduling):
    """A scheduler that keeps the tests of a file, and of one engine, in one process, because they share fixtures.

    xdist's groups cannot express this: they need a private attribute that pytest 9 has dropped.
    """

    def _split_scope(self, nodeid: str) -> str:
        engine = re.match(r"tests/e2e/.*?\[(\d+\.\d+)[-\]]", nodeid)
        return nodeid.partition("::")[0] + (engine[1] if engine else "")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _FileScheduling(config, log)
