"""``plugin-mirror completion``: scripts for the completion of command lines.

One command for each shell: an argument would load the library that checks arguments, which takes longer than a script.
"""

from __future__ import annotations

from typing import Final

import typer
from typer.completion import get_completion_inspect_parameters, shell_complete

from mirror.cli.start.root_group import COMPLETE_VARIABLE, PROGRAM

#: The script of Typer for zsh works only if it is sourced. A file in $fpath must begin with the line for compdef. It is
#: the body of a function: zsh runs it at the first completion.
_ZSH: Final = f"""#compdef {PROGRAM}

_complete_{PROGRAM}() {{
  eval "$(env {COMPLETE_VARIABLE}=complete_zsh _TYPER_COMPLETE_ARGS="${{words[1,CURRENT]}}" {PROGRAM})"
}}

if [[ $funcstack[1] = _{PROGRAM} ]]; then
  _complete_{PROGRAM}
else
  compdef _complete_{PROGRAM} {PROGRAM}
fi"""


def bash(context: typer.Context) -> None:
    """Print the script for bash."""
    _print(context, "bash")


def zsh() -> None:
    """Print the script for zsh, to be sourced or kept in a folder of $fpath."""
    typer.echo(_ZSH)


def fish(context: typer.Context) -> None:
    """Print the script for fish."""
    _print(context, "fish")


def _print(context: typer.Context, shell: str) -> None:
    get_completion_inspect_parameters()  # registers the shells
    commands = context.find_root().command
    raise typer.Exit(shell_complete(commands, {}, PROGRAM, COMPLETE_VARIABLE, f"source_{shell}"))
