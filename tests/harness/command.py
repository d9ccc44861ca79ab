"""Run a client program until it exits and report failures with its output."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Excludes /usr/local, since a client installed there may not match the distribution's engine.
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_NOBODY_LISTENS = "http://127.0.0.1:9"
LOOPBACK_ONLY: Mapping[str, str] = {
    "PATH": SYSTEM_PATH,
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "HTTP_PROXY": _NOBODY_LISTENS,
    "HTTPS_PROXY": _NOBODY_LISTENS,
}
"""Environment for a Go client that may reach only loopback.

Go never uses a proxy for loopback addresses. Every other address goes to the proxy on port 9, where nothing listens.
HOME does not exist, so the client reads no configuration file.
"""


@dataclass(frozen=True, slots=True)
class CompletedRun:
    """Result of a program: its exit code and the exact bytes of both output streams."""

    argv: tuple[str, ...]
    exit_code: int
    stdout_bytes: bytes = field(repr=False)
    stderr_bytes: bytes = field(repr=False)

    @property
    def stdout(self) -> str:
        """Standard output as text. Invalid UTF-8 is replaced."""
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """Standard error as text. Invalid UTF-8 is replaced."""
        return self.stderr_bytes.decode(errors="replace")


class CommandFailedError(AssertionError):
    """A program failed that had to succeed. The message shows the command, its exit code and its output."""

    def __init__(self, run: CompletedRun, hint: str = "") -> None:
        parts = [f"exit code {run.exit_code} from: {shlex.join(run.argv)}"]
        parts += [
            f"--- {name}\n{text.rstrip()}"
            for name, text in (("stdout", run.stdout), ("stderr", run.stderr), ("log", hint))
            if text.strip()
        ]
        super().__init__("\n".join(parts))
        self.run = run


def run(
    argv: Sequence[str],
    *,
    input_text: str | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_seconds: float = 180,
    check: bool = True,
) -> CompletedRun:
    """Run a program until it exits.

    Args:
        argv: Program and arguments.
        input_text: Text for standard input. If None, standard input is empty.
        environment: Environment of the program. If None, the program inherits the current environment.
        folder: Working directory of the program.
        timeout_seconds: Time after which the program is killed.
        check: True to raise an error for a non-zero exit code.

    Raises:
        CommandFailedError: If `check` is true and the exit code is not 0.
        TimeoutError: If the program does not exit in time. The program has been killed.
    """
    try:
        done = subprocess.run(
            list(argv),
            input=(input_text or "").encode(),
            capture_output=True,
            env=environment,
            cwd=folder,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        seen = (error.stdout or b"") + (error.stderr or b"")
        raise TimeoutError(
            f"still running after {timeout_seconds:g} s: {shlex.join(argv)}\n{seen.decode(errors='replace')}"
        ) from None
    completed = CompletedRun(tuple(argv), done.returncode, done.stdout, done.stderr)
    if check and completed.exit_code != 0:
        raise CommandFailedError(completed)
    return completed
