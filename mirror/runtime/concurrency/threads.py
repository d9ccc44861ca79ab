"""Blocking calls in threads, which are never left half done, and blocking work that gives its result in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Piece = TypeVar("Piece")

_END: Final = object()


class ThreadFuture(asyncio.Future[Result]):
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


def begin_in_thread(
    call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> ThreadFuture[Result]:
    """Start a blocking call in a thread. The hop raises what the call raises."""
    work: Future[Result] = Future()

    def run() -> None:
        try:
            result = call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - it is raised where the hop is awaited
            work.set_exception(error)
        else:
            work.set_result(result)

    asyncio.get_running_loop().run_in_executor(None, run)
    return ThreadFuture(work)


async def in_thread(call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """Make a blocking call in a thread, to its end, also where the caller is cancelled. Raises what the call raises."""
    return await begin_in_thread(call, *args, **kwargs)


async def await_or_release(hop: asyncio.Future[Result], release: Callable[[Result], object]) -> Result:
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


async def stepped(steps: Generator[Piece, None, Any]) -> AsyncIterator[Piece]:
    """What a blocking generator gives, each step made in a thread; the generator is closed in the end.

    Cancelled, it ends with the step that is being made.
    """
    try:
        while (piece := await in_thread(next, steps, _END)) is not _END:
            yield piece  # type: ignore[misc]  # the one thing that is no piece was taken out above
    finally:
        steps.close()
