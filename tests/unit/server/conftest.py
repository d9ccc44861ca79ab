from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mirror.registry.memory import MemoryRegistry
from tests.support.served import Served, put_plugin, served


@pytest.fixture
async def empty() -> AsyncIterator[Served]:
    """A server without content."""
    async with served() as server:
        yield server
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def filled() -> AsyncIterator[Served]:
    """A server that holds a plugin."""
    registry = MemoryRegistry()
    await put_plugin(registry)
    async with served(registry) as server:
        yield server
    assert asyncio.all_tasks() == {asyncio.current_task()}
