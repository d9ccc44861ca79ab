"""A cache of long lists, for a moment: a client that asks page by page must not cost the whole list each time.

A list that is being read belongs to nobody who waits for it: it is read to its end although they leave, so that the
next one finds it.
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

#: A list of one short page is asked for each time: it costs little, and whoever has just pushed wants to see it.
_LONG_BYTES: Final = 64 * 1024
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
    """Gives lists, from memory or by reading them; each is read once, and four at a time.

    Kept are long lists, and that an upstream lied in one: for a minute, and until something is changed through us.

    Args:
        tasks: owns the reading.
        clock: tells the age of lists.
        changes: goes up with what is changed through us.
        most_entries: entries that are cached, of all lists together.
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
        """Give a list, read anew where it is not cached.

        Args:
            url: what it is asked for by.
            read: reads it.

        Raises:
            UpstreamProtocolError: it has been read less than a minute ago, and this is what came of it.
            And what ``read`` raises.
        """
        known = self._cached(url)
        if known is None:
            key = url, self._changes()  # a reading that began before a change does not do after it
            known = await self._beginnings.run(key, lambda: self._join_reading(key, read))
        if known.failure is not None:
            raise UpstreamProtocolError(known.failure.message, **known.failure.detail)
        return known.reading

    async def _join_reading(self, key: tuple[str, int], read: Read) -> _CachedList:
        """Wait for a turn, begin to read, and wait for the end. A cancelled caller ends no reading that has begun."""
        if (reading := self._readings.under_way(key)) is None:
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
            left -= max(len(one.reading.entries), 1000)
            if each == url or (left >= 0 and now < one.at_seconds + _CACHED_SECONDS):
                cached[each] = one
        self._lists = dict(reversed(cached.items()))


def _is_long(reading: ListReading[Any]) -> bool:
    return reading.pages > 1 or reading.received_bytes >= _LONG_BYTES
