"""The options that every command has."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import typer
from typer.main import get_command

from mirror.cli.verbosity import Choice, choose


def _chosen(choice: Choice) -> Any:
    def callback(is_given: bool) -> None:
        # An option before the command counts too, so the same option after it, which is absent, must not undo it.
        if is_given:
            choose(choice)

    return callback


def _show_help(context: typer.Context, is_given: bool) -> None:
    if is_given and not context.resilient_parsing:
        typer.echo(context.get_help())
        raise typer.Exit


def _options(
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            callback=_chosen("verbose"),
            is_eager=True,
            expose_value=False,
            help="Tell which files are used, and what is done.",
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=_chosen("quiet"),
            is_eager=True,
            expose_value=False,
            help="Print results and errors only: no progress, notes and warnings.",
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            callback=_chosen("debug"),
            is_eager=True,
            expose_value=False,
            help="Show the traceback of an error.",
        ),
    ] = False,
    # Typer's own option has no default, and the absent value would load the library that checks values.
    help_: Annotated[
        bool,
        typer.Option(
            "--help", "-h", callback=_show_help, is_eager=True, expose_value=False, help="Show this help and exit."
        ),
    ] = False,
) -> None:
    """Carry the declarations of the options."""


@cache
def common_options() -> list[Any]:
    """Return the options that every command has besides its own."""
    declared = typer.Typer(add_completion=False, rich_markup_mode=None)
    declared.command()(_options)
    return get_command(declared).params
