"""Running a coroutine as a whole command."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from mirror.runtime import logs

Result = TypeVar("Result")


class Interrupted(Exception):
    """A command was told to stop."""


def run_to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Run ``work``; SIGINT and SIGTERM alike cancel it, so that it lets go of what it holds.

    Raises:
        Interrupted: it was told to stop.
    """

    async def run() -> Result:
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a coroutine runs in a task")
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        with logs.configured("warning"):
            return asyncio.run(run())
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        raise Interrupted from error
