from __future__ import annotations

import asyncio

from mirror.runtime.concurrency.per_owner_limit import PerOwnerLimit


async def test_each_owner_has_so_many_and_the_rest_wait_in_their_order() -> None:
    places, go_on = PerOwnerLimit(2), asyncio.Event()
    here = list[str]()

    async def stay(owner: str, name: str) -> None:
        async with places.one_of(owner):
            here.append(name)
            await go_on.wait()

    tasks = [asyncio.create_task(stay(name[0], name)) for name in ("a1", "a2", "a3", "a4", "b1")]
    await asyncio.sleep(0)
    assert here == ["a1", "a2", "b1"]
    assert places.are_awaited("a")
    assert not places.are_awaited("b")
    tasks[2].cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert here == ["a1", "a2", "b1", "a4"]
    assert not places.are_awaited("a")
    assert not places._present
    assert not places._free
