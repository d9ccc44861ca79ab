"""The command line: one file a command family."""

from mirror.cli.command_line import main

__all__ = ["main"]
