"""Work that must not be left half done, and blocking work that gives its result in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, Final, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Piece = TypeVar("Piece")

_END: Final = object()


async def to_the_end(work: Awaitable[Result], *, release: Callable[[Result], object] | None = None) -> Result:
    """Await ``work``; where the caller is cancelled, wait until it is done and only then be cancelled.

    Args:
        work: what is to be done.
        release: gives back the result of work whose caller was cancelled and so will never see it.
    """
    task = asyncio.ensure_future(work)
    interruption: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            interruption = error
    if interruption is None:
        return task.result()
    if not task.cancelled() and task.exception() is None and release is not None:
        release(task.result())
    raise interruption


async def in_thread(call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """Make a blocking call in a thread, to its end, also where the caller is cancelled. Raises what the call raises."""
    return await to_the_end(asyncio.to_thread(call, *args, **kwargs))


async def stepped(steps: Generator[Piece, None, Any]) -> AsyncIterator[Piece]:
    """What a blocking generator gives, each step made in a thread; the generator is closed in the end.

    Cancelled, it ends with the step that is being made.
    """
    try:
        while (piece := await in_thread(next, steps, _END)) is not _END:
            yield piece  # type: ignore[misc]  # the one thing that is no piece was taken out above
    finally:
        steps.close()
