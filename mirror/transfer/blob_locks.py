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
    """Call ``work`` for each item, with at most ``limit`` calls at the same time.

    The first failure cancels the other calls and is raised.

    Returns:
        The results, in the order of the items.
    """
    waiting = list(items)
    left = iter(enumerate(waiting))
    given: dict[int, Given] = {}

    # Workers that share one iterator instead of a task for each item: a rule may have a hundred thousand items.
    async def some() -> None:
        for place, item in left:
            given[place] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(some()) for _ in range(min(limit, len(waiting)))]
    except BaseExceptionGroup as failures:
        # Callers catch MirrorError, not groups of errors.
        raise failures.exceptions[0] from None
    for task in tasks:
        task.result()  # a task group does not report a task cancelled from within; this raises its CancelledError
    return [given[place] for place in range(len(waiting))]


class BlobLocks:
    """Locks by digest. Of several simultaneous copies, only one moves a blob, and moves it once.

    Args:
        partials: store of leases at the destination. None if nobody else downloads blobs into the destination.
    """

    def __init__(self, partials: PartialStore | None = None) -> None:
        self.partials = partials
        # Weak values: a lock lives as long as somebody holds it or waits for it, so the dictionary does not grow.
        self._locks: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, digest: Digest) -> AsyncIterator[None]:
        """Hold the lock of a digest inside the ``async with``."""
        lock = self._locks.get(digest)
        if lock is None:
            lock = self._locks[digest] = asyncio.Lock()
        async with lock:
            yield
