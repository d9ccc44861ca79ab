"""One piece of work where several callers want the same at the same time, done by the first of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Given = TypeVar("Given")


class SingleFlight(Generic[Key, Given]):
    """Whoever comes while a piece of work is under way gets its result, or its error.

    The work belongs to the caller that began it. Where that one is cancelled, one of the others begins anew.
    """

    def __init__(self) -> None:
        self._flights: dict[Key, asyncio.Future[Given]] = {}

    async def run(self, key: Key, work: Callable[[], Awaitable[Given]]) -> Given:
        """What ``work`` gives, or gives just now to another caller with the same key; raises what it raises."""
        while (flight := self._flights.get(key)) is not None:
            await asyncio.wait([flight])  # it leaves the future alone where this caller is cancelled
            if not flight.cancelled():
                return flight.result()
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            result = await work()
        except Exception as error:
            flight.set_exception(error)
            flight.exception()  # which nobody else may want
            raise
        except BaseException:
            flight.cancel()
            raise
        else:
            flight.set_result(result)
            return result
        finally:
            del self._flights[key]
