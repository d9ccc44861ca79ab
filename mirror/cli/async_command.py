"""Run a coroutine as a whole command."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import Any, TypeVar

from mirror.cli.verbosity import is_quiet, is_verbose
from mirror.runtime.os_user import os_user_name

Result = TypeVar("Result")


class Interrupted(Exception):
    """The user stopped a command with SIGINT or SIGTERM."""


def run_to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Run ``work`` in an event loop of its own and return its result.

    SIGINT and SIGTERM cancel ``work``, so that locks, leases and temporary files are released.

    Raises:
        Interrupted: SIGINT or SIGTERM stopped the command.
    """
    # Imported late: all commands import this module, and --help needs no event loop and no log.
    import asyncio
    import signal

    from mirror.cli.command_log import STANDARD_ERROR, CommandLog
    from mirror.records.changes.actor import ActorKind, act_as
    from mirror.runtime import logs

    async def run() -> Result:
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a coroutine runs in a task")
        # asyncio.run cancels the task on SIGINT only. SIGTERM would end the process without any cleanup.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        act_as(ActorKind.COMMAND, _user())
        return await work

    try:
        # Configured for the command only: tests run commands inside their own process and keep their logging.
        told = CommandLog(tells_all=is_verbose())
        with logs.configured("error" if is_quiet() else "info", stream=STANDARD_ERROR, renderer=told):
            return asyncio.run(run())
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        raise Interrupted from error


def _user() -> str:
    """Return the user of the operating system who runs the command, and the user who became root to do so."""
    name = os_user_name()
    became = os.environ.get("SUDO_USER", "")
    return f"{became} as {name}" if became.isprintable() and became else name
