"""The group of all commands, and the options that are given before the command."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Final

import typer
from typer.main import get_command

from mirror import __version__
from mirror.cli.start.command_groups import COMMAND_GROUPS
from mirror.cli.start.lazy_commands import LazyCommand, LazyGroup
from mirror.cli.start.top_level_commands import TOP_LEVEL_COMMANDS

PROGRAM: Final = "plugin-mirror"
#: Variable in which the scripts of 'plugin-mirror completion' ask for completions.
COMPLETE_VARIABLE: Final = "_PLUGIN_MIRROR_COMPLETE"
_ABOUT_THE_PROGRAM: Final = (
    LazyGroup(
        "completion",
        "Print the script that completes commands and options in a shell.",
        (
            LazyCommand(
                "bash",
                "service.completion_command:bash",
                "Print the script for bash.",
                "plugin-mirror completion bash > /etc/bash_completion.d/plugin-mirror",
            ),
            LazyCommand(
                "zsh",
                "service.completion_command:zsh",
                "Print the script for zsh, to be sourced or kept in a folder of $fpath.",
                "plugin-mirror completion zsh > /usr/local/share/zsh/site-functions/_plugin-mirror",
            ),
            LazyCommand(
                "fish",
                "service.completion_command:fish",
                "Print the script for fish.",
                "plugin-mirror completion fish > /etc/fish/completions/plugin-mirror.fish",
            ),
        ),
    ),
    LazyCommand("version", "service.version_command:run", "Print the version.", "plugin-mirror version --json"),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_print_version,
            is_eager=True,
            expose_value=False,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Carry the declaration of the option."""


@cache
def root_group() -> LazyGroup:
    """Return the group of all commands."""
    group = LazyGroup(
        "",
        "A registry, proxy and mirror for Docker plugins.",
        (*TOP_LEVEL_COMMANDS, *COMMAND_GROUPS, *_ABOUT_THE_PROGRAM),
    )
    declared = typer.Typer(add_completion=False, rich_markup_mode=None)
    declared.command()(_options)
    group.params = [*get_command(declared).params, *group.params]
    return group
