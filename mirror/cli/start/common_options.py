"""The options of every command, and what they have chosen for the command that runs."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

_CHOSEN: Final[set[str]] = set()


def is_debug() -> bool:
    """Return True if an error shows its traceback."""
    return "debug" in _CHOSEN


def is_quiet() -> bool:
    """Return True if the command prints results and errors only."""
    return "quiet" in _CHOSEN


def is_verbose() -> bool:
    """Return True if the command says what it uses and does."""
    return "verbose" in _CHOSEN


def forget_chosen() -> None:
    """Forget what an earlier command line of this process has chosen."""
    _CHOSEN.clear()


def _choose(param: typer.CallbackParam, chosen: bool) -> None:
    # An option before the command counts too, and the same option after it, which is absent, must not undo it.
    if chosen and param.name is not None:
        _CHOSEN.add(param.name)


def _options(
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", callback=_choose, expose_value=False, help="Tell which files are used and what is done."
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", callback=_choose, expose_value=False, help="Print results and errors only."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", callback=_choose, expose_value=False, help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Carry the declarations of the options."""


@cache
def common_options() -> list[Any]:
    """Return the options that every command has besides its own."""
    declared = typer.Typer(add_completion=False, rich_markup_mode=None)
    declared.command()(_options)
    return get_command(declared).params
