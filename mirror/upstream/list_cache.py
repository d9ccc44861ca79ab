"""A short-lived cache of long lists, so a client that requests page after page costs one list and not one per page.

A running read belongs to no caller. The list is read to its end even if all callers leave, so the next caller finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from mirror.oci.errors import UpstreamProtocolError
from mirror.runtime.clock import Clock
from mirror.runtime.concurrency.shared_tasks import SharedTasks, wait
from mirror.upstream.list_paging import ListReading

# A list of one short page is not cached. Reading it costs little, and a client that has just pushed expects to see the
# new tag.
_LONG_BYTES: Final = 64 * 1024
# A list may change at the upstream at any time, so the cache hides a change for a minute at most.
_CACHED_SECONDS: Final = 60.0
_READ_AT_ONCE: Final = 4

Read = Callable[[ListReading[Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _CachedList:
    reading: ListReading[Any]
    failure: UpstreamProtocolError | None
    at_seconds: float
    changes: int


class ListCache:
    """A cache of lists. Reads a missing list from the upstream: each list once, and at most four lists at a time.

    Long lists are cached, and so is the error of a long list that broke the protocol. Entries last for a minute, or
    until a change at the upstream through this process.

    Args:
        tasks: owns the running reads.
        clock: determines the age of lists.
        changes: returns a number that increases with every change through this process.
        most_entries: largest number of cached entries of all lists together.
    """

    def __init__(self, tasks: asyncio.TaskGroup, clock: Clock, changes: Callable[[], int], most_entries: int) -> None:
        self._clock = clock
        self._changes = changes
        self._most_entries = most_entries
        self._lists: dict[str, _CachedList] = {}
        self._tasks = tasks
        self._readings: SharedTasks[tuple[str, int], _CachedList] = SharedTasks()
        self._beginnings: SharedTasks[tuple[str, int], _CachedList] = SharedTasks()
        self._gate = asyncio.Semaphore(_READ_AT_ONCE)

    async def get(self, url: str, read: Read) -> ListReading[Any]:
        """Return a list, from the cache or from the upstream.

        Args:
            url: identifies the list.
            read: reads the list from the upstream.

        Raises:
            UpstreamProtocolError: the list was read less than a minute ago and broke the protocol.
            Exception: any exception of ``read``.
        """
        known = self._cached(url)
        if known is None:
            # A read that began before a change may lack the change, so callers after the change do not join that read.
            key = url, self._changes()
            known = await self._beginnings.run(key, lambda: self._join_reading(key, read))
        if known.failure is not None:
            # A new exception for each caller, because raising one object again would add to its traceback.
            raise UpstreamProtocolError(known.failure.message, **known.failure.detail)
        return known.reading

    async def _join_reading(self, key: tuple[str, int], read: Read) -> _CachedList:
        """Wait for a free slot, start the read and wait for its end. A cancelled caller does not end a started read."""
        if (reading := self._readings.under_way(key)) is None:
            # The slot belongs to the read and not to the caller, so a cancelled caller does not let a fifth read start.
            await self._gate.acquire()
            reading = self._readings.join(key, lambda: self._read(*key, read), self._tasks)
            reading.add_done_callback(lambda _reading: self._gate.release())
        return await wait(reading)

    async def _read(self, url: str, changes: int, read: Read) -> _CachedList:
        reading: ListReading[Any] = ListReading()
        failure: UpstreamProtocolError | None = None
        try:
            await read(reading)
        except UpstreamProtocolError as error:
            # An error on a short list costs little to find again.
            if not _is_long(reading):
                raise
            failure, reading = error, ListReading()
        known = _CachedList(reading, failure, self._clock.monotonic_seconds(), changes)
        if failure is not None or _is_long(reading):
            self._cache(url, known)
        return known

    def _cached(self, url: str) -> _CachedList | None:
        known = self._lists.get(url)
        if known is None or known.changes != self._changes():
            return None
        return known if self._clock.monotonic_seconds() < known.at_seconds + _CACHED_SECONDS else None

    def _cache(self, url: str, known: _CachedList) -> None:
        self._lists.pop(url, None)
        self._lists[url] = known
        now = self._clock.monotonic_seconds()
        cached, left = {}, self._most_entries
        for each, one in reversed(self._lists.items()):  # the newest first
            # A list counts for at least 1000 entries, which also bounds the number of short lists and errors.
            left -= max(len(one.reading.entries), 1000)
            if each == url or (left >= 0 and now < one.at_seconds + _CACHED_SECONDS):
                cached[each] = one
        self._lists = dict(reversed(cached.items()))


def _is_long(reading: ListReading[Any]) -> bool:
    return reading.pages > 1 or reading.received_bytes >= _LONG_BYTES
