"""Commands that work on the users of a data folder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from mirror.cli.async_command import run_to_the_end

if TYPE_CHECKING:
    from mirror.settings import Settings
    from mirror.store.records.sql_users import SqlUsers

Result = TypeVar("Result")


def with_users(
    settings: Settings,
    work: Callable[[SqlUsers], Awaitable[Result]],
    *,
    must_exist: bool = True,
    only_reads: bool = False,
) -> Result:
    """Open the data folder, run ``work`` on its users, and return the result.

    Args:
        settings: the settings with the path of the data folder.
        work: called with the users.
        must_exist: True to refuse to create the data folder.
        only_reads: True if ``work`` only reads. The data folder need not be writable.

    Raises:
        ConfigurationFault: ``must_exist`` is True and the data folder does not exist.
        Interrupted: SIGINT or SIGTERM stopped the command.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.services import open_store

    async def run() -> Result:
        async with open_store(settings, must_exist=must_exist, only_reads=only_reads) as store:
            return await work(store.records.users)

    return run_to_the_end(run())
