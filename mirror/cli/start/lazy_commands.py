"""Commands whose modules are imported when they run. Help and completion need their rows in the table only."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from mirror.cli.start.common_options import common_options

#: Widest line of a help text. Longer lines are hard to read.
_CONTENT_WIDTH: Final = 100
#: For all commands, because a context takes over what its parent has.
CONTEXT: Final[dict[str, Any]] = {"max_content_width": _CONTENT_WIDTH}


class LazyCommand(TyperCommand):
    """A row in the table of the commands. It stands for its command in lists of commands.

    Args:
        name: name of the command.
        function: its function below ``mirror.cli``, as ``MODULE:FUNCTION``.
        summary: the first sentence of its help, which a list of commands shows.
        example: a command line that uses it.
    """

    def __init__(self, name: str, function: str, summary: str, example: str) -> None:
        super().__init__(name, short_help=summary, rich_markup_mode=None)
        self.function: Final = function
        self.example: Final = example

    def load(self) -> LoadedCommand:
        """Import the module of the command and return the command itself."""
        module, _, function = self.function.partition(":")
        # Without rich, which takes longer than all else about a help text.
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        register = single.command(
            self.name, cls=LoadedCommand, epilog=f"Example: {self.example}", add_help_option=False
        )
        register(getattr(import_module(f"mirror.cli.{module}"), function))
        command = cast(LoadedCommand, get_command(single))
        for parameter in cast(list[Any], command.params):
            # Whether a file can be read is checked where it is opened, with a message that names its owner.
            parameter.type_descriptor.parameter_info.readable = False
        command.params += common_options()
        return command


class LoadedCommand(TyperCommand):
    """A command that can run. Its example can be copied, so no line of it is broken."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the example as one line."""
        formatter.write(f"\n  {self.epilog}\n")


class LazyGroup(TyperGroup):
    """A group of commands, of which only the chosen one is imported.

    Args:
        name: name of the group.
        summary: the help text.
        commands: the commands in the order in which help lists them.
    """

    def __init__(self, name: str, summary: str, commands: Sequence[LazyCommand | LazyGroup]) -> None:
        super().__init__(
            name=name,
            help=summary,
            short_help=summary,
            commands=commands,
            params=common_options(),
            rich_markup_mode=None,
            add_help_option=False,
            context_settings=CONTEXT,
        )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Print the help of the group if no command is given."""
        if not args and not ctx.resilient_parsing:
            from mirror.cli.exit_codes import WRONG_USAGE

            typer.echo(ctx.get_help(), err=True)
            ctx.exit(WRONG_USAGE)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return name, command and arguments. Overrides Typer's method, which all uses of a command go through."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest
