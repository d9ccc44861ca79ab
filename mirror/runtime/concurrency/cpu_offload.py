"""Computation that grows with its input, moved off the event loop if the input is large."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, ParamSpec, TypeVar

from mirror.runtime.concurrency.fair_scheduler import FairScheduler
from mirror.runtime.concurrency.threads import in_thread

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: Largest input that is processed in the event loop, in bytes. A thread would cost more than the work.
LIGHT_BYTES: Final = 64 * 1024


class CpuOffload:
    """A queue for large pieces of work, which run in a thread one at a time, with fair turns for each owner.

    One at a time, because the threads share one processor with the event loop. Two at a time would not finish sooner,
    and would leave the event loop a third of the processor time instead of half.
    """

    def __init__(self) -> None:
        self._turns = FairScheduler(1)

    async def do(
        self,
        owner: Hashable,
        size_bytes: int,
        call: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Call a function: directly if its input is small, else in a thread during the owner's turn.

        Args:
            owner: owner of the work. The owner with the least work done so far goes first.
            size_bytes: size of the input, in bytes.
            call: the function. Must not use the event loop.
            *args: positional arguments of ``call``.
            **kwargs: keyword arguments of ``call``.

        Raises:
            Exception: any exception of ``call``.
        """
        if size_bytes <= LIGHT_BYTES:
            return call(*args, **kwargs)
        with self._turns.work(owner) as work:
            async with work.turn():
                work.charge(size_bytes)
                return await in_thread(call, *args, **kwargs)
