"""Output of a command that runs inside the test process, at a terminal of some width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from concurrent.futures import ThreadPoolExecutor

import pytest

from mirror.cli.command_line import run
from mirror.cli.printing import RESULTS


def at_terminal(columns: int, *arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command whose standard output is a terminal. Return its exit code, and what the terminal got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with ThreadPoolExecutor(1) as reader, pytest.MonkeyPatch.context() as patch:
        written = reader.submit(_read, ours)
        patch.delenv("COLUMNS", raising=False)
        patch.setenv("TERM", "xterm-256color")
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        vars(RESULTS).pop("console", None)  # it keeps what it has found out about another terminal
        with os.fdopen(theirs, "w", encoding="utf-8") as screen:
            patch.setattr(sys, "stdout", screen)
            code = run(list(arguments))
        return code, written.result().replace("\r\n", "\n")


def without_styles(text: str) -> str:
    """Return a text without the escape sequences that style it on a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _read(terminal: int) -> str:
    read = bytearray()
    # Linux reports EIO when the last process has closed the terminal.
    while piece := _piece(terminal):
        read += piece
    os.close(terminal)
    return read.decode()


def _piece(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
