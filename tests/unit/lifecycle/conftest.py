"""An own store on a clock that stands still, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.store.registry import Store
from tests.support.clocks import HandClock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def clock() -> HandClock:
    """The clock of ``store``."""
    return HandClock()


@pytest.fixture
async def store(folder: Path, clock: HandClock) -> AsyncIterator[Store]:
    """An open, empty store in ``folder``."""
    async with Store.open(folder, clock=clock) as opened:
        yield opened
