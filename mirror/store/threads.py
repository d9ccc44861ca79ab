"""Work that must not be left half done: blocking calls in threads, and whole transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from mirror.store.faults import storage_faults

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Hop(asyncio.Future[Result]):
    """Work that is being done in a thread. A task that awaits it is cancelled only when the work has ended.

    The thread wakes the task by one call of the event loop; a future that is chained to another takes two turns more,
    and those of a busy server are long.

    Args:
        work: ends when the work does, in the thread.
        withdraw: keeps the work from being begun, and gives whether it could: then there is nothing to wait for.
    """

    def __init__(self, work: Future[Result], withdraw: Callable[[], bool] | None = None) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._withdraw = withdraw
        work.add_done_callback(self._ended)

    def cancel(self, msg: Any | None = None) -> bool:
        """Refused, unless the work can be withdrawn. The task remembers that it is to be cancelled."""
        return self._withdraw is not None and self._withdraw() and super().cancel(msg)

    def _ended(self, work: Future[Result]) -> None:
        with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self.get_loop().call_soon_threadsafe(self._settle, work)

    def _settle(self, work: Future[Result]) -> None:
        if self.done():
            return
        error = work.exception()
        if error is None:
            self.set_result(work.result())
        else:
            self.set_exception(error)


async def to_the_end(hop: asyncio.Future[Result], release: Callable[[Result], object]) -> Result:
    """Await a hop whose result must be given back.

    Args:
        hop: what is being done.
        release: gives back the result of work whose caller was cancelled and so will never see it.
    """
    try:
        return await hop
    except asyncio.CancelledError:
        if not hop.cancelled() and hop.exception() is None:
            release(hop.result())
        raise


def begin_in_thread(
    doing: str, call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Hop[Result]:
    """Start a blocking call in a thread.

    Raises:
        StorageFault, StorageFull: by the future, for an OSError; ``doing`` says what failed.
    """
    work: Future[Result] = Future()

    def run() -> None:
        try:
            with storage_faults(doing):
                result = call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - it is raised where the hop is awaited
            work.set_exception(error)
        else:
            work.set_result(result)

    asyncio.get_running_loop().run_in_executor(None, run)
    return Hop(work)


async def in_thread(
    doing: str, call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Make a blocking call in a thread, to its end. Not for calls whose result must be given back.

    Raises:
        StorageFault, StorageFull: for an OSError; ``doing`` says what failed.
    """
    return await begin_in_thread(doing, call, *args, **kwargs)
