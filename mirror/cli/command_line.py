"""The program ``plugin-mirror``: one process, one command line, one exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

from typer.completion import get_completion_inspect_parameters

from mirror.cli.start.pydantic_plugins import leave_out_plugins
from mirror.cli.start.root_group import COMPLETE_VARIABLE, PROGRAM, root_group
from mirror.cli.terminal.late_rich import rich_is_absent
from mirror.cli.terminal.output import flush_output
from mirror.cli.verbosity import forget_choices, is_debug

#: New objects after which garbage is looked for, in place of Python's 700. A command imports hundreds of modules when
#: it runs, and looking through their objects takes a tenth of the processor time of a short command.
_NEW_OBJECTS: Final = 100_000
#: Exit code with which typer ends a command after Ctrl-C.
_CTRL_C: Final = 130


def main() -> NoReturn:
    """Run the command line of this process, and exit with the exit code of the command."""
    _open_streams()
    if "serve" in sys.argv:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it must not end a server that is starting
    gc.freeze()  # what was imported is not looked through again
    gc.set_threshold(_NEW_OBJECTS)
    code = run(sys.argv[1:])
    gc.freeze()  # Python would look through all objects once more before it ends
    sys.exit(code)


def _open_streams() -> None:
    """Let each standard stream that the caller closed lead nowhere, so that no code meets a stream that is None."""
    # In this order: a new file takes the lowest free number, which is that of the missing stream. Otherwise the catalog
    # could get the number of standard error, and be written to.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open until the process ends


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    forget_choices()
    leave_out_plugins()
    if COMPLETE_VARIABLE in os.environ:
        get_completion_inspect_parameters()  # registers the shells
        with rich_is_absent():
            root_group().main(arguments, PROGRAM)  # ends with SystemExit
    try:
        with rich_is_absent():
            # Outside of its standalone mode, typer leaves all errors to the caller.
            code = root_group().main(arguments, PROGRAM, standalone_mode=False)
        flush_output()
    except BaseException as failure:
        # Imported late: most command lines end without an error.
        from mirror.cli.start.failure_report import reported

        told = reported(failure, trace=is_debug())
        if told is None:
            raise
        return told
    if code == _CTRL_C:
        from mirror.cli.start.failure_report import tell_interrupted

        return tell_interrupted()
    return code if isinstance(code, int) else 0
