"""Blocking calls of the store in threads. Errors of the disk are translated into errors of this program."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mirror.runtime.concurrency import threads
from mirror.runtime.concurrency.threads import ThreadFuture
from mirror.store.storage_errors import storage_faults

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def begin_in_thread(
    doing: str, call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> ThreadFuture[Result]:
    """Start a blocking call in a thread.

    Args:
        doing: the action for the error message, such as ``"write an upload"``.
        call: the call.
        args: its positional arguments.
        kwargs: its keyword arguments.

    Returns:
        A future with the result. It raises StorageFault or StorageFull for an OSError of the call.
    """

    def translated() -> Result:
        with storage_faults(doing):
            return call(*args, **kwargs)

    return threads.begin_in_thread(translated)


async def in_thread(
    doing: str, call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Run a blocking call in a thread to its end, even if the caller is cancelled.

    The arguments are those of :func:`begin_in_thread`. Do not use this for a call whose result must be released,
    because a cancelled caller never gets the result.

    Raises:
        StorageFault, StorageFull: the call raised an OSError.
    """
    return await begin_in_thread(doing, call, *args, **kwargs)
