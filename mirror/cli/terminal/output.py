"""The standard streams of a command: plain lines, and on a terminal what rich draws."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

from mirror.cli.terminal.late_rich import let_rich_in
from mirror.cli.verbosity import is_quiet

if TYPE_CHECKING:
    from rich.console import Console

_USUAL_WIDTH: Final = 80


class OutputClosed(Exception):
    """Nobody reads standard output any more."""


def discard_output() -> None:
    """Let standard output lead nowhere. Otherwise Python writes it once more at its end, and prints a traceback."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def flush_output() -> None:
    """Write what is left of standard output.

    Raises:
        OutputClosed: nobody reads it.
        OSError: it cannot be written.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        discard_output()
        if isinstance(error, BrokenPipeError):
            raise OutputClosed from error
        raise


class Output:
    """A standard stream. Lines are never wrapped, so that digests and commands in them can be copied and searched.

    rich is loaded for a style or a drawing on a terminal only, because it takes longer than most commands.

    Args:
        stream: the standard stream.
        can_be_quiet: True if ``--quiet`` silences the stream.
        console: the console in place of the one for the stream.
    """

    def __init__(
        self,
        stream: Literal["stdout", "stderr"] = "stdout",
        *,
        can_be_quiet: bool = False,
        console: Console | None = None,
    ) -> None:
        self._stream = stream
        self._can_be_quiet = can_be_quiet
        self._given = console
        self._is_unread = False

    @property
    def file(self) -> TextIO:
        """The stream that is written to."""
        if self._given is not None:
            return self._given.file  # type: ignore[return-value]  # a file in all but name
        if self._stream == "stderr":
            return sys.stderr
        # Bars on standard error also take what is written to standard output, to draw around it. Results pass them.
        stream: TextIO = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
        return stream

    @property
    def is_terminal(self) -> bool:
        """True if a person reads the stream on a terminal. False if ``--quiet`` silences it."""
        if self._is_silent:
            return False
        return self.file.isatty() if self._given is None else self._given.is_terminal

    @property
    def width(self) -> int:
        """Number of columns of the terminal; 80 if it is not known."""
        if self._given is not None:
            return self._given.width
        wanted = os.environ.get("COLUMNS", "")
        if wanted.isdecimal() and int(wanted):
            return int(wanted)
        try:
            return os.get_terminal_size(self.file.fileno()).columns or _USUAL_WIDTH
        except OSError:
            return _USUAL_WIDTH

    @cached_property
    def console(self) -> Console:
        """The console that draws on this stream."""
        if self._given is not None:
            return self._given
        let_rich_in()
        from rich.console import Console

        return Console(stderr=self._stream == "stderr", highlight=False, soft_wrap=True)

    @property
    def _is_silent(self) -> bool:
        return self._is_unread or (self._can_be_quiet and is_quiet())

    def out(self, text: object = "", *, style: str | None = None, highlight: bool = False, end: str = "\n") -> None:
        """Write a text as it is.

        Args:
            text: the text.
            style: style of the text on a terminal, in the words of rich.
            highlight: True to let rich colour numbers and names on a terminal.
            end: what follows the text.

        Raises:
            OutputClosed: nobody reads standard output.
            OSError: the text cannot be written.
        """
        if self._is_silent:
            return
        if (style or highlight) and self.is_terminal:
            self.console.out(text, style=style, highlight=highlight, end=end)
            return
        try:
            self.file.write(f"{text}{end}")
            # At once, as rich does: lines of both streams stay in order, and a closed pipe ends the command here.
            self.file.flush()
        except BrokenPipeError as error:
            if self._stream == "stdout":
                discard_output()
                raise OutputClosed from error
            self._is_unread = True  # nobody reads the messages, and the work goes on

    def status(self, text: str) -> Any:
        """Return a line that says what is done, visible inside its ``with`` block on a terminal."""
        return self.console.status(text)
