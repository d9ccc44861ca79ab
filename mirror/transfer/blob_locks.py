"""Bounded concurrency, and locks by digest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

from mirror.oci import Digest
from mirror.transfer.partial_store import PartialStore

Item = TypeVar("Item")
Given = TypeVar("Given")


async def map_concurrently(limit: int, work: Callable[[Item], Awaitable[Given]], items: Iterable[Item]) -> list[Given]:
    """Do ``work`` for each item, so many at the same time; the first failure ends the others and is raised.

    Returns:
        What each gave, in the order of the items.
    """
    waiting = list(items)
    left = iter(enumerate(waiting))
    given: dict[int, Given] = {}

    async def some() -> None:  # not a task for each: a rule may have a hundred thousand items
        for place, item in left:
            given[place] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(some()) for _ in range(min(limit, len(waiting)))]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    for task in tasks:
        task.result()  # raises where one was cancelled from within
    return [given[place] for place in range(len(waiting))]


class BlobLocks:
    """Locks by digest: of copies at the same time, one moves a blob, and once.

    Args:
        partials: gives leases of blobs at the destination; None: nobody else fetches blobs into it.
    """

    def __init__(self, partials: PartialStore | None = None) -> None:
        self.partials = partials
        self._locks: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, digest: Digest) -> AsyncIterator[None]:
        """Hold the lock of a digest."""
        lock = self._locks.get(digest)
        if lock is None:
            lock = self._locks[digest] = asyncio.Lock()
        async with lock:
            yield
