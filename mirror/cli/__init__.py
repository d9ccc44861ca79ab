"""The command line: one file a command family."""

from mirror.cli.application import main

__all__ = ["main"]
