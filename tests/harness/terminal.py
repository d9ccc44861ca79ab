"""A program as somebody at a terminal sees it."""

import os
import pty
import subprocess
from collections.abc import Sequence


def run_at_terminal(argv: Sequence[str], *, timeout_seconds: float = 60) -> tuple[int, str]:
    """Run `argv` with a pseudo-terminal as standard output and error; its exit code and everything it wrote there."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        written = bytearray()
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the last writer is gone
                break
            if not piece:
                break
            written += piece
        code = process.wait(timeout_seconds)
    os.close(ours)
    return code, written.decode(errors="replace")
