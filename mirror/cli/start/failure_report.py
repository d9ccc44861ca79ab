"""The only place that turns the failure of a command into lines and an exit code."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from typing import Final

import typer

from mirror.bundle.bundle_errors import BundleFault, BundleUntrusted
from mirror.cli import exit_codes
from mirror.cli.async_command import Interrupted
from mirror.cli.printing import ALERTS
from mirror.cli.terminal.output import OutputClosed, discard_output
from mirror.hosts.engine_errors import EngineFault
from mirror.oci.errors import MirrorError
from mirror.runtime.error_advice import advised
from mirror.runtime.system_errors import LocalFault, how_to_fix

#: Advice for errors of the upper layers whose message has none.
_ADVICE: Final[dict[type[MirrorError], str]] = {
    EngineFault: "look into the log of the engine",
    BundleUntrusted: "see who signed it with 'plugin-mirror bundle show', and trust that key if you know it",
    BundleFault: "copy it again, whole, from where it was made",
}
#: What typer adds to the name of a command or option that does not exist.
_NEARBY: Final = re.compile(r"[.,;]? (?:Did you mean (.+)\?|\(Possible options: (.+)\))$", re.DOTALL)
#: What typer says about words after the last argument.
_EXTRA: Final = re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", re.DOTALL)


def reported(failure: BaseException, *, trace: bool) -> int | None:
    """Print why a command failed, and return its exit code.

    Args:
        failure: the exception that ended the command.
        trace: True to print the traceback of an error first.

    Returns:
        None, after no output, if the exception is a fault of this program.
    """
    match failure:
        case Interrupted() | KeyboardInterrupt() | typer.Abort():
            return tell_interrupted()
        # The reader of the output has ended, and wants no more lines. Typer ends the program then.
        case OutputClosed() | SystemExit() | BrokenPipeError():
            return exit_codes.INTERRUPTED
        case typer.TyperException():
            _print_wrong_usage(failure)
            return exit_codes.WRONG_USAGE
        case MirrorError() | OSError():
            if trace:
                ALERTS.out("".join(traceback.format_exception(failure)), end="")
            if isinstance(failure, OSError) and failure.filename is None:
                discard_output()  # it could not be written
            error = failure if isinstance(failure, MirrorError) else _of_system(failure)
            for line in lines_of(error):
                ALERTS.out(f"error: {line}", highlight=False)
            return exit_codes.of(error)
    return None


def tell_interrupted() -> int:
    """Print that the user stopped the command, and return its exit code."""
    ALERTS.out("interrupted: nothing is lost; fix: run the same command again to continue", highlight=False)
    return exit_codes.INTERRUPTED


def lines_of(error: MirrorError) -> Iterator[str]:
    """Yield the lines of an error. A configuration error has one line for each mistake."""
    own = next((_ADVICE[family] for family in type(error).__mro__ if family in _ADVICE), "")
    yield from advised(error, own).splitlines()


def _of_system(error: OSError) -> LocalFault:
    """Return the error for one of the operating system that no part of the program expected."""
    what = "the output" if error.filename is None else error.filename
    return LocalFault(f"{what} cannot be used: {error.strerror or 'the system failed'}; fix: {how_to_fix(error)}")


def _print_wrong_usage(failure: typer.TyperException) -> None:
    told = failure.format_message().rstrip(".").replace("Value error, ", "")
    told = _NEARBY.sub(lambda near: f" (did you mean {near[1] or near[2]}?)", told)
    told = _EXTRA.sub(r"too many arguments: \1", told)
    if not told:
        return  # a group without a command: its help has been printed
    context = getattr(failure, "ctx", None)
    command = "plugin-mirror" if context is None else context.command_path
    ALERTS.out(f"error: {told[:1].lower()}{told[1:]}; fix: see '{command} --help'", highlight=False)
