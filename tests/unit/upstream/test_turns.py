"""Whose turn it is: connections, and one request for several who want the same."""

from __future__ import annotations

import asyncio

import pytest

from mirror.upstream.limits.connection_slots import ConnectionSlots


@pytest.mark.parametrize(("connections", "bulk"), [(2, 1), (3, 2), (4, 3), (8, 6), (64, 48)])
async def test_transfers_leave_connections_for_short_requests(connections: int, bulk: int) -> None:
    slots = ConnectionSlots(connections)
    for _ in range(bulk):
        await slots.enter(bulk=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slots.enter(bulk=True), 0.01)
    for _ in range(connections - bulk):
        await asyncio.wait_for(slots.enter(bulk=False), 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slots.enter(bulk=False), 0.01)
    slots.leave(bulk=True)
    await asyncio.wait_for(slots.enter(bulk=True), 1)


async def test_a_transfer_that_gives_up_waiting_takes_nothing_along() -> None:
    slots = ConnectionSlots(2)
    for _ in range(2):
        await slots.enter(bulk=False)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slots.enter(bulk=True), 0.01)
    slots.leave(bulk=False)
    await asyncio.wait_for(slots.enter(bulk=True), 1)
