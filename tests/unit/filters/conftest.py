"""A store for each test. It is copied, because creating a store is slow."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.store.registry import Store
from tests.support.admission import World
from tests.support.clocks import ShiftedClock


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of the current revision. Made once, because creating it is slow."""
    folder = tmp_path_factory.mktemp("empty") / "data"

    async def make() -> None:
        async with Store.open(folder):
            pass

    asyncio.run(make())
    return folder


@pytest.fixture
async def world(empty: Path, tmp_path: Path) -> AsyncIterator[World]:
    shutil.copytree(empty, tmp_path / "data")
    clock = ShiftedClock()
    async with Store.open(tmp_path / "data", clock=clock) as store:
        yield World(store, clock)
