"""The command line: one module for each command or family of commands."""

import gc

# Almost all objects of an import live to the end of the process, so looking through them for garbage finds none. It
# takes an eighth of the processor time of a short command.
gc.disable()
from mirror.cli.command_line import main  # noqa: E402 - the collector is off before the imports begin

gc.enable()

__all__ = ["main"]
