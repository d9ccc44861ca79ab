"""The only place that turns the error of a command into a line and an exit code."""

from __future__ import annotations

import traceback

from typer import TyperException

from mirror.cli import exit_codes
from mirror.cli.async_command import Interrupted
from mirror.cli.printing import ALERTS
from mirror.oci.errors import MirrorError


def reported(error: Exception, *, trace: bool) -> int | None:
    """Print an error and return the exit code of the command.

    Args:
        error: the error that ended the command.
        trace: True to print the traceback of an error first.

    Returns:
        None, after no output, if the error is not one of ours.
    """
    match error:
        case Interrupted():
            ALERTS.out("interrupted: nothing is lost; fix: run the same command again to continue", highlight=False)
            return exit_codes.INTERRUPTED
        case TyperException():
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "plugin-mirror"
            told = error.format_message().rstrip(".")
            ALERTS.out(f"error: {told[:1].lower()}{told[1:]}; fix: see '{command} --help'", highlight=False)
            return exit_codes.WRONG_USAGE
        case MirrorError():
            if trace:
                ALERTS.out("".join(traceback.format_exception(error)), end="")
            # A configuration error has one line for each mistake, and each line gets the prefix.
            for line in str(error).splitlines():
                ALERTS.out(f"error: {line}", highlight=False)
            return exit_codes.of(error)
    return None
