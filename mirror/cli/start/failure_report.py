"""The only place that turns the failure of a command into lines and an exit code."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Final

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import Interrupted
from mirror.cli.printing import ALERTS
from mirror.cli.terminal.output import OutputClosed, discard_output
from mirror.hosts import engine_errors
from mirror.oci import errors
from mirror.oci.errors import MirrorError
from mirror.runtime.system_errors import LocalFault, how_to_fix

_FIX: Final = "fix: "
#: Advice for errors whose message has none. The most specific class decides.
_ADVICE: Final[dict[type[MirrorError], str]] = {
    errors.NameInvalid: "write [HOST[:PORT]/]NAME[:TAG][@DIGEST], such as acme/driver:1.0",
    errors.DigestInvalid: "write a digest as sha256: and 64 hexadecimal digits",
    errors.NotFound: "'plugin-mirror ls' lists what the store holds",
    errors.Denied: "use an account with the right to do this",
    errors.Unauthorized: "log in with: docker login",
    errors.ManifestInvalid: "name another tag; 'plugin-mirror inspect' tells what a name holds",
    errors.ClientFault: "correct the arguments, see --help",
    errors.UpstreamUnreachable: "check the network, the name and the port",
    errors.UpstreamOffline: "remove 'offline: true' from the configuration",
    errors.UpstreamRefused: "configure a login for the upstream, or correct the name",
    errors.UpstreamProtocolError: "check that the address is that of a registry",
    errors.UpstreamFault: "try again later",
    errors.StorageFull: "free some space on the disk",
    errors.StorageDamaged: "find and heal what is damaged: plugin-mirror scrub",
    errors.StorageFault: "check the disk and the owner of the data folder",
    engine_errors.EngineFault: "look into the log of the engine",
    errors.Busy: "try again when the other process has ended",
    errors.ConfigurationFault: "correct the configuration or the arguments, see --help",
    MirrorError: "look at the reason above, and see --help",
}
#: Advice about content that was looked for at another registry.
_ELSEWHERE: Final = "check the name and the tag at that registry"


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
    advice = _advice(error)
    for line in str(error).splitlines():
        yield line if _FIX in line else f"{line}; {_FIX}{advice}"


def _of_system(error: OSError) -> LocalFault:
    """Return the error for one of the operating system that no part of the program expected."""
    what = "the output" if error.filename is None else error.filename
    return LocalFault(f"{what} cannot be used: {error.strerror or 'the system failed'}; {_FIX}{how_to_fix(error)}")


def _advice(error: MirrorError) -> str:
    """Return what a user can do about an error whose message does not tell it."""
    # The cause is an error of the system if a file that a user named is missing or closed.
    if isinstance(error.__cause__, OSError) and isinstance(error, errors.ConfigurationFault | errors.StorageFault):
        return how_to_fix(error.__cause__)
    if isinstance(error, errors.NotFound) and "upstream" in error.detail:
        return _ELSEWHERE
    return next(_ADVICE[family] for family in type(error).__mro__ if family in _ADVICE)


def _print_wrong_usage(failure: typer.TyperException) -> None:
    told = failure.format_message().rstrip(".")
    if not told:
        return  # a group without a command: its help has been printed
    context = getattr(failure, "ctx", None)
    command = "plugin-mirror" if context is None else context.command_path
    ALERTS.out(f"error: {told[:1].lower()}{told[1:]}; fix: see '{command} --help'", highlight=False)
