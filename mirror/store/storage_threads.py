"""Blocking calls of the store in threads: what goes wrong with the disk is told in the tree's errors."""

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

    Raises:
        StorageFault, StorageFull: by the future, for an OSError; ``doing`` says what failed.
    """

    def translated() -> Result:
        with storage_faults(doing):
            return call(*args, **kwargs)

    return threads.begin_in_thread(translated)


async def in_thread(
    doing: str, call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Make a blocking call in a thread, to its end. Not for calls whose result must be given back.

    Raises:
        StorageFault, StorageFull: for an OSError; ``doing`` says what failed.
    """
    return await begin_in_thread(doing, call, *args, **kwargs)
