"""Work whose time grows with what it is given, kept from the event loop where that is large."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, ParamSpec, TypeVar

from mirror.runtime.concurrency.fair_scheduler import FairScheduler
from mirror.runtime.concurrency.threads import in_thread

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: What is read at once, in bytes: a thread would cost more.
LIGHT_BYTES: Final = 64 * 1024


class CpuOffload:
    """Does large pieces of work in a thread, one after the other, each owner in its turn.

    One after the other, because they share one processor with the event loop: two at a time would end no sooner, and
    leave it a third of the time instead of half.
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
        """Call a function: at once where that is light, else in a thread when it is the owner's turn.

        Args:
            owner: for whom; who has had least goes first.
            size_bytes: how large what it works on is.
            call: what is called; it must not need the event loop.
            args, kwargs: given to it.

        Raises:
            Exception: what ``call`` raises.
        """
        if size_bytes <= LIGHT_BYTES:
            return call(*args, **kwargs)
        with self._turns.work(owner) as work:
            async with work.turn():
                work.charge(size_bytes)
                return await in_thread(call, *args, **kwargs)
