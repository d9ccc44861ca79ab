"""An own store for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.store.registry import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[Store]:
    """An open, empty store in ``folder``."""
    async with Store.open(folder) as opened:
        yield opened
