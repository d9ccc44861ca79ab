"""Blocking calls in threads that always run to their end, and blocking generators iterated from the event loop."""

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
    """The result of work in a thread. Cancellation of a task that awaits this future waits for the end of the work.

    The thread wakes the task through one call of the event loop. A chained future would need two more iterations of the
    event loop, which are long on a busy server.

    Args:
        work: future that completes with the work, in the thread.
        withdraw: removes the work from its queue and returns True if the work had not begun. The task then ends at
            once.
    """

    def __init__(self, work: Future[Result], withdraw: Callable[[], bool] | None = None) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._withdraw = withdraw
        work.add_done_callback(self._ended)

    def cancel(self, msg: Any | None = None) -> bool:
        """Return False, unless the work could be withdrawn. The awaiting task is cancelled after the work."""
        # ``Task.cancel`` cancels the future it awaits. If that returns False, the task raises CancelledError at its
        # next step.
        return self._withdraw is not None and self._withdraw() and super().cancel(msg)

    def _ended(self, work: Future[Result]) -> None:
        with suppress(RuntimeError):  # the loop has been closed, so no task waits
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
    """Start a blocking call in a thread. The returned future raises any exception of the call."""
    work: Future[Result] = Future()

    def run() -> None:
        try:
            result = call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
            work.set_exception(error)
        else:
            work.set_result(result)

    asyncio.get_running_loop().run_in_executor(None, run)
    return ThreadFuture(work)


async def in_thread(call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """Run a blocking call in a thread, to its end even if the caller is cancelled. Raises any exception of the call."""
    return await begin_in_thread(call, *args, **kwargs)


async def await_or_release(hop: asyncio.Future[Result], release: Callable[[Result], object]) -> Result:
    """Await a future whose result must be released.

    Args:
        hop: the pending work.
        release: releases the result if the caller was cancelled and therefore never receives the result.
    """
    try:
        return await hop
    except asyncio.CancelledError:
        if not hop.cancelled() and hop.exception() is None:
            release(hop.result())
        raise


async def stepped(steps: Generator[Piece, None, Any]) -> AsyncIterator[Piece]:
    """Iterate a blocking generator, with each step in a thread. The generator is closed at the end.

    Cancellation waits for the current step.
    """
    try:
        # A default instead of StopIteration, because a future cannot raise StopIteration.
        while (piece := await in_thread(next, steps, _END)) is not _END:
            yield piece  # type: ignore[misc]  # the loop condition excludes _END
    finally:
        steps.close()
