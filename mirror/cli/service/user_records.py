"""Work on the users of a data folder, as a whole command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from mirror.cli.async_command import run_to_the_end
from mirror.settings import Settings

if TYPE_CHECKING:
    from mirror.store.records.sql_users import SqlUsers

Result = TypeVar("Result")


def with_users(settings: Settings, work: Callable[[SqlUsers], Awaitable[Result]], *, must_exist: bool = True) -> Result:
    """Do some work with the users that a data folder knows.

    Args:
        settings: where the data folder is.
        work: is given the users.
        must_exist: refuse to make the data folder.
    """
    from mirror.app.services import open_store

    async def run() -> Result:
        async with open_store(settings, must_exist=must_exist) as store:
            return await work(store.records.users)

    return run_to_the_end(run())
