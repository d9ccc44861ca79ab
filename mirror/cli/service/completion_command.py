"""``plugin-mirror completion``: scripts for the completion of command lines."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer
from typer.completion import get_completion_inspect_parameters, shell_complete

from mirror.cli.start.root_group import COMPLETE_VARIABLE, PROGRAM


class Shell(Enum):
    """Shells that complete command lines."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def run(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="Shell that reads the script.")],
) -> None:
    """Print the script that completes commands and options in a shell.

    For bash, write it to /etc/bash_completion.d/plugin-mirror; for zsh, to
    _plugin-mirror in a folder of $fpath; for fish, to
    /etc/fish/completions/plugin-mirror.fish.
    """
    get_completion_inspect_parameters()  # registers the shells
    commands = context.find_root().command
    raise typer.Exit(shell_complete(commands, {}, PROGRAM, COMPLETE_VARIABLE, f"source_{shell.value}"))
