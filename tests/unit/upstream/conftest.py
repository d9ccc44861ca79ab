from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mirror.runtime.retry_policy import RetryPolicy
from mirror.upstream.limits.upstream_policy import Timeouts, UpstreamPolicy
from mirror.upstream.registry import UpstreamRegistry
from tests.support.scripted_server import ScriptedServer

RETRY = RetryPolicy(attempts=3, first_delay_seconds=0.001, longest_delay_seconds=0.05)
QUICK = UpstreamPolicy(retry=RETRY)


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()


@pytest.fixture
async def server(no_task_is_left: None) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer().running() as running:
        yield running


@pytest.fixture
async def upstream(server: ScriptedServer) -> AsyncIterator[UpstreamRegistry]:
    policy = UpstreamPolicy(timeouts=Timeouts(read_seconds=0.6), retry=RETRY)
    async with UpstreamRegistry.open(name="hub", url=server.url, plain_http=True, policy=policy) as opened:
        yield opened
