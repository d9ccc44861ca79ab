"""Work that must not be left half done: blocking calls in threads, and whole transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from mirror.store.faults import storage_faults

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def to_the_end(
    work: Awaitable[Result],
    *,
    release: Callable[[Result], object] | None = None,
    withdraw: Callable[[], bool] | None = None,
) -> Result:
    """Await ``work``; where the caller is cancelled, wait until it is done and only then be cancelled.

    Args:
        work: what is to be done.
        release: gives back the result of work whose caller was cancelled and so will never see it.
        withdraw: keeps work from being begun, and gives whether it could: then there is nothing to wait for.
    """
    task = asyncio.ensure_future(work)
    interruption: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            interruption = error
            if withdraw is not None and withdraw():
                raise
    if interruption is None:
        return task.result()
    if not task.cancelled() and task.exception() is None and release is not None:
        release(task.result())
    raise interruption


def begin_in_thread(
    doing: str, call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> asyncio.Future[Result]:
    """Start a blocking call in a thread; the caller sees it :func:`to_the_end`.

    Raises:
        StorageFault, StorageFull: by the future, for an OSError; ``doing`` says what failed.
    """

    def translated() -> Result:
        with storage_faults(doing):
            return call(*args, **kwargs)

    return asyncio.get_running_loop().run_in_executor(None, translated)


async def in_thread(
    doing: str, call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Make a blocking call in a thread, to its end. Not for calls whose result must be given back.

    Raises:
        StorageFault, StorageFull: for an OSError; ``doing`` says what failed.
    """
    return await to_the_end(begin_in_thread(doing, call, *args, **kwargs))
