"""Turns of transfers and short requests at the connections of an upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from mirror.upstream.limits.connection_slots import ConnectionSlots


async def at_once(entering: Coroutine[None, None, None]) -> None:
    """Enter within some rounds of the event loop, else give up. Raises TimeoutError."""
    task = asyncio.create_task(entering)
    for _ in range(10):
        await asyncio.sleep(0)
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
        raise TimeoutError
    await task


@pytest.mark.parametrize(("connections", "bulk"), [(2, 1), (3, 2), (4, 3), (8, 6), (64, 48)])
async def test_transfers_leave_connections_for_short_requests(connections: int, bulk: int) -> None:
    slots = ConnectionSlots(connections)
    for _ in range(bulk):
        await slots.enter(bulk=True)
    with pytest.raises(TimeoutError):
        await at_once(slots.enter(bulk=True))
    for _ in range(connections - bulk):
        await at_once(slots.enter(bulk=False))
    with pytest.raises(TimeoutError):
        await at_once(slots.enter(bulk=False))
    slots.leave(bulk=True)
    await at_once(slots.enter(bulk=True))


async def test_a_transfer_that_gives_up_waiting_takes_nothing_along() -> None:
    slots = ConnectionSlots(2)
    for _ in range(2):
        await slots.enter(bulk=False)
    with pytest.raises(TimeoutError):
        await at_once(slots.enter(bulk=True))
    slots.leave(bulk=False)
    await at_once(slots.enter(bulk=True))
