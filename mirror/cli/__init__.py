"""The command line: one module for each command or family of commands."""

from mirror.cli.command_line import main

__all__ = ["main"]
