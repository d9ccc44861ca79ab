"""Output of results to people and programs."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, Final

from mirror.cli.terminal.output import Output
from mirror.oci.byte_sizes import shown_size
from mirror.oci.printable_text import printable

#: Standard output is for results, so that a pipe carries results only.
RESULTS = Output("stdout")
#: Progress, notes and warnings.
MESSAGES = Output("stderr", can_be_quiet=True)
#: Errors, and questions with what they are about.
ALERTS = Output("stderr")

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
#: Column where the text of a fact begins.
_FACT_AT: Final = 17

size = shown_size


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 name`` or ``2 names``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_json(value: Any) -> None:
    """Print plain values as JSON, indented by two spaces."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # A name from the command line that was no UTF-8 has signs that no output can have.
    is_text = text.isascii() or not _SURROGATE.search(text)
    RESULTS.out(text if is_text else json.dumps(value, indent=2), highlight=False)


def print_done(sentence: str, value: Any, *, as_json: bool) -> None:
    """Print what a command has changed: JSON for programs, or a sentence on standard error for people."""
    if as_json:
        print_json(value)
    else:
        MESSAGES.out(sentence)


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
        MESSAGES.out(nothing)


def print_judged(word: str, style: str, line: str) -> None:
    """Print a line that begins with two spaces and a word. The word has a style on a terminal."""
    RESULTS.out("  ", end="")
    RESULTS.out(word, style=style, end="")
    RESULTS.out(line[2 + len(word) :])


def wrapped(console: Output, line: str, indent: int) -> str:
    """Return a line of prose for a stream: broken into several lines for a terminal, as it is for a pipe.

    Words stay whole, also those that are longer than a line.

    Args:
        console: the stream that the line is for.
        line: the line, with its leading spaces.
        indent: number of spaces before each further line.
    """
    if not console.is_terminal:
        return line
    width, further = max(console.width, indent + 20), " " * indent
    return textwrap.fill(line, width, subsequent_indent=further, break_long_words=False, break_on_hyphens=False)


def labelled(console: Output, label: str, text: str, indent: int) -> str:
    """Return a text behind its label, wrapped on a terminal. A word that does not fit beside the label goes below.

    Args:
        console: the stream that the text is for.
        label: the label, with its leading spaces.
        text: the text.
        indent: column where the text begins.
    """
    longest = max(map(len, text.split()), default=0)
    below = console.is_terminal and indent + longest > console.width
    return wrapped(console, f"{label:<{indent}}{text}", 4 if below else indent)


def heading(text: str) -> None:
    """Print a heading after an empty line."""
    RESULTS.out(f"\n{text}", style="bold", highlight=False)


def print_facts(title: str, facts: Iterable[tuple[str, str]]) -> None:
    """Print a title, and one line for each fact whose text is not empty."""
    RESULTS.out(printable(title), style="bold", highlight=False)
    for label, text in facts:
        # Texts come from plugins and may contain control characters of terminals.
        if text:
            head = f"  {label + ':' if label else ''}"
            RESULTS.out(labelled(RESULTS, head, printable(text), _FACT_AT), highlight=False)
