"""Work that several callers want at the same time, and that is done once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Given = TypeVar("Given")


class SharedTasks(Generic[Key, Given]):
    """Pieces of work under way, by key. A caller that comes meanwhile gets the result, or the error, of that work.

    :meth:`run` has the work done by the caller that came first, :meth:`join` by a task of its own. The cancellation of
    one caller ends the work for none of the others: after :meth:`run` the next caller begins it anew, after
    :meth:`join` it goes on. All callers with one key use the same of the two methods.
    """

    def __init__(self) -> None:
        self._under_way: dict[Key, asyncio.Future[Given]] = {}

    def under_way(self, key: Key) -> asyncio.Future[Given] | None:
        """The work with a key, where it is being done."""
        return self._under_way.get(key)

    async def run(self, key: Key, work: Callable[[], Awaitable[Given]]) -> Given:
        """Do a piece of work, unless another caller with the same key is doing it.

        Args:
            key: equal where the work is the same.
            work: does it.

        Returns:
            What ``work`` returns.

        Raises:
            What ``work`` raises.
        """
        while (shared := self._under_way.get(key)) is not None:
            await asyncio.wait([shared])  # it leaves the future alone where this caller is cancelled
            if not shared.cancelled():
                return shared.result()
        shared = self._begin(key)
        await self._do(key, shared, work)
        return shared.result()

    def join(self, key: Key, work: Callable[[], Awaitable[Given]], tasks: asyncio.TaskGroup) -> asyncio.Future[Given]:
        """Begin a piece of work in a task, unless it is under way.

        Args:
            key: equal where the work is the same.
            work: does it.
            tasks: owns the task that is begun. Where the group ends first, the work is cancelled.

        Returns:
            What the work will return; to be awaited with :func:`wait`.
        """
        shared = self._under_way.get(key)
        if shared is None:
            shared = self._begin(key)
            tasks.create_task(self._do(key, shared, work))
        return shared

    def _begin(self, key: Key) -> asyncio.Future[Given]:
        shared = self._under_way[key] = asyncio.get_running_loop().create_future()
        return shared

    async def _do(self, key: Key, shared: asyncio.Future[Given], work: Callable[[], Awaitable[Given]]) -> None:
        try:
            result = await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for it are told
            shared.set_exception(error)
            shared.exception()  # which nobody may be there to hear
        except BaseException:
            shared.cancel()
            raise
        else:
            shared.set_result(result)
        finally:
            del self._under_way[key]


async def wait(shared: asyncio.Future[Given], timeout_seconds: float | None = None) -> Given:
    """Wait for what :meth:`SharedTasks.join` gave. The work goes on where the caller is cancelled, or waits no longer.

    Args:
        shared: what was joined.
        timeout_seconds: the longest wait; None: no limit.

    Returns:
        What the work returns.

    Raises:
        TimeoutError: the work took longer. And what the work raises.
    """
    done, _ = await asyncio.wait([shared], timeout=timeout_seconds)
    if not done:
        raise TimeoutError
    return shared.result()
