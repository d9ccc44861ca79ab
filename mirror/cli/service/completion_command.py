"""``plugin-mirror completion``: scripts for the completion of command lines.

One command for each shell: an argument would load the library that checks arguments, which takes longer than a script.
"""

from __future__ import annotations

import typer
from typer.completion import get_completion_inspect_parameters, shell_complete

from mirror.cli.start.root_group import COMPLETE_VARIABLE, PROGRAM


def bash(context: typer.Context) -> None:
    """Print the script for bash."""
    _print(context, "bash")


def zsh(context: typer.Context) -> None:
    """Print the script for zsh. Its folder must be in $fpath."""
    _print(context, "zsh")


def fish(context: typer.Context) -> None:
    """Print the script for fish."""
    _print(context, "fish")


def _print(context: typer.Context, shell: str) -> None:
    get_completion_inspect_parameters()  # registers the shells
    commands = context.find_root().command
    raise typer.Exit(shell_complete(commands, {}, PROGRAM, COMPLETE_VARIABLE, f"source_{shell}"))
