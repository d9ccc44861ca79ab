"""The program ``plugin-mirror``: one process, one command line, one exit code."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

from typer.completion import get_completion_inspect_parameters

from mirror.cli.late_rich import rich_is_absent
from mirror.cli.start.root_group import COMPLETE_VARIABLE, PROGRAM, root_group
from mirror.cli.verbosity import forget_choices, is_debug


def main() -> NoReturn:
    """Run the command line of this process, and exit with the exit code of the command."""
    gc.freeze()  # what was imported is not looked through again
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    forget_choices()
    if COMPLETE_VARIABLE in os.environ:
        get_completion_inspect_parameters()  # registers the shells
    try:
        # Not None if the command ended with typer.Exit.
        with rich_is_absent():
            return root_group().main(arguments, PROGRAM, standalone_mode=False) or 0
    except Exception as error:
        # Imported late: most command lines end without an error.
        from mirror.cli.start.failure_report import reported

        code = reported(error, trace=is_debug())
        if code is None:
            raise
        return code
