"""Output of results to people and programs."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from mirror.oci.byte_sizes import shown_size


class OutputClosed(Exception):
    """Nobody reads standard output any more."""


class _ResultConsole(Console):
    def on_broken_pipe(self) -> None:
        discard_output()
        raise OutputClosed


class _MessageConsole(Console):
    def on_broken_pipe(self) -> None:
        self.quiet = True  # nobody reads the messages, and the work goes on


def discard_output() -> None:
    """Let standard output lead nowhere. Otherwise Python writes it once more at its end, and prints a traceback."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


#: Neither console wraps lines, so that digests and commands in them can be copied and searched. Prose on a terminal is
#: wrapped by :func:`wrapped`.
#: Standard output is for results. Progress and errors go to :data:`MESSAGES`, so that a pipe carries results only.
RESULTS: Final[Console] = _ResultConsole(highlight=False, soft_wrap=True)
MESSAGES: Final[Console] = _MessageConsole(stderr=True, highlight=False, soft_wrap=True)

size = shown_size


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 name`` or ``2 names``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_json(value: Any) -> None:
    """Print plain values as JSON, indented by two spaces."""
    RESULTS.out(json.dumps(value, indent=2, ensure_ascii=False), highlight=False)


def new_table(*headings: str) -> Table:
    """Return an empty table in the style of all lists."""
    return Table(*headings, box=None, pad_edge=False, header_style="bold")


def print_list(
    found: list[dict[str, Any]], show: Callable[[list[dict[str, Any]]], None], nothing: str, *, as_json: bool
) -> None:
    """Print a list as JSON or for people.

    Args:
        found: the rows, as plain values.
        show: prints the rows for people.
        nothing: message for people if there are no rows.
        as_json: True to print JSON.
    """
    if as_json:
        print_json(found)
    elif found:
        show(found)
    else:
        MESSAGES.print(nothing, markup=False)


def wrapped(console: Console, line: str, indent: int) -> str:
    """Return a line of prose for a console: broken into several lines for a terminal, as it is for a pipe.

    Args:
        console: the console that prints the line.
        line: the line, with its leading spaces.
        indent: number of spaces before each further line.
    """
    if not console.is_terminal:
        return line
    width, further = max(console.width, indent + 20), " " * indent
    return textwrap.fill(line, width, subsequent_indent=further, break_long_words=False, break_on_hyphens=False)
