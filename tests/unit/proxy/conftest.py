"""A store for each test, and a check that no task remains."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.store.registry import Store
from tests.support.pull_through import World, pulling


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[Store]:
    before = asyncio.all_tasks()
    async with Store.open(folder) as opened:
        yield opened
    assert asyncio.all_tasks() <= before | {asyncio.current_task()}


@pytest.fixture
async def world(store: Store) -> AsyncIterator[World]:
    """Pull-through from ``hub`` under the same names."""
    async with pulling(store) as opened:
        yield opened
