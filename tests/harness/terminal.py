"""Run a program with a pseudo-terminal."""

import os
import pty
import subprocess
from collections.abc import Sequence


def run_at_terminal(argv: Sequence[str], *, timeout_seconds: float = 180) -> tuple[int, str]:
    """Run `argv` with a pseudo-terminal as standard output and error. Return its exit code and its whole output."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        written = bytearray()
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux reports EIO when the last process has closed the terminal
                break
            if not piece:
                break
            written += piece
        code = process.wait(timeout_seconds)
    os.close(ours)
    return code, written.decode(errors="replace")
