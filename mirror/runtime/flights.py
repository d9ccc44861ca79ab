"""One piece of work where several callers want the same at the same time. It belongs to none of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Given = TypeVar("Given")


class Flights(Generic[Key, Given]):
    """Whoever comes while a piece of work is under way gets its result, or its error. Nobody who leaves ends it.

    Args:
        tasks: owns the work.
    """

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._flights: dict[Key, asyncio.Future[Given]] = {}

    def join(self, key: Key, work: Callable[[], Awaitable[Given]]) -> asyncio.Future[Given]:
        """What ``work`` will give, or gives just now to another caller with the same key. Await it with :func:`landed`.

        Where the task group ends first, it is cancelled.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.get_running_loop().create_future()
            self._tasks.create_task(self._fly(key, flight, work))
        return flight

    def under_way(self, key: Key) -> asyncio.Future[Given] | None:
        """The work with this key, where it is being done."""
        return self._flights.get(key)

    async def _fly(self, key: Key, flight: asyncio.Future[Given], work: Callable[[], Awaitable[Given]]) -> None:
        try:
            result = await work()
        except asyncio.CancelledError:
            flight.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for it are told
            flight.set_exception(error)
            flight.exception()  # which nobody may be there to hear
        else:
            flight.set_result(result)
        finally:
            del self._flights[key]


async def landed(flight: asyncio.Future[Given], timeout_seconds: float | None = None) -> Given:
    """The result of a flight, which goes on where the caller is cancelled or waits no longer.

    Raises:
        TimeoutError: it took longer. And what the work raised.
    """
    done, _ = await asyncio.wait([flight], timeout=timeout_seconds)
    if not done:
        raise TimeoutError
    return flight.result()
