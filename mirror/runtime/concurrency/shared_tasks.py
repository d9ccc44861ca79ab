"""Work that several callers request at the same time and that runs once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Given = TypeVar("Given")


class SharedTasks(Generic[Key, Given]):
    """Pending work by key. A caller that arrives while the work runs receives the same result or error.

    :meth:`run` executes the work in the first caller, :meth:`join` in a separate task. Cancellation of one caller does
    not end the work for the others. After :meth:`run` the next caller starts the work anew. After :meth:`join` the work
    continues. All callers with one key must use the same method.
    """

    def __init__(self) -> None:
        self._under_way: dict[Key, asyncio.Future[Given]] = {}

    def under_way(self, key: Key) -> asyncio.Future[Given] | None:
        """Return the pending work with a key, or None."""
        return self._under_way.get(key)

    async def run(self, key: Key, work: Callable[[], Awaitable[Given]]) -> Given:
        """Run a piece of work, or wait for another caller that runs the work with the same key.

        Args:
            key: identifies the work.
            work: does the work.

        Returns:
            The result of ``work``.

        Raises:
            Exception: any exception of ``work``.
        """
        while (shared := self._under_way.get(key)) is not None:
            # ``asyncio.wait``, unlike ``await shared``, does not cancel the future if this caller is cancelled.
            await asyncio.wait([shared])
            if not shared.cancelled():
                return shared.result()
        shared = self._begin(key)
        await self._do(key, shared, work)
        return shared.result()

    def join(self, key: Key, work: Callable[[], Awaitable[Given]], tasks: asyncio.TaskGroup) -> asyncio.Future[Given]:
        """Start a piece of work in a task, unless the work is pending.

        Args:
            key: identifies the work.
            work: does the work.
            tasks: owns the new task. The work is cancelled if the group ends first.

        Returns:
            The future result. Await with :func:`wait`.
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
        except Exception as error:  # noqa: BLE001 - every waiting caller receives the error
            shared.set_exception(error)
            shared.exception()  # marked as retrieved: asyncio would log the error if no caller waits
        except BaseException:
            shared.cancel()
            raise
        else:
            shared.set_result(result)
        finally:
            del self._under_way[key]


async def wait(shared: asyncio.Future[Given], timeout_seconds: float | None = None) -> Given:
    """Wait for the result of :meth:`SharedTasks.join`. A timeout or a cancelled caller does not end the work.

    Args:
        shared: the future returned by ``join``.
        timeout_seconds: longest wait; None: no limit.

    Returns:
        The result of the work.

    Raises:
        TimeoutError: the work took longer. Also any exception of the work.
    """
    done, _ = await asyncio.wait([shared], timeout=timeout_seconds)
    if not done:
        raise TimeoutError
    return shared.result()
