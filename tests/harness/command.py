"""Running a client program to its end, with an error that can be read."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Before /usr/local: another client installed there is not the one that belongs to the distribution's engine.
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_NOBODY_LISTENS = "http://127.0.0.1:9"
LOOPBACK_ONLY: Mapping[str, str] = {
    "PATH": SYSTEM_PATH,
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "HTTP_PROXY": _NOBODY_LISTENS,
    "HTTPS_PROXY": _NOBODY_LISTENS,
}
"""Environment of a Go client without configuration that is to reach loopback only: Go asks no proxy for that."""


@dataclass(frozen=True, slots=True)
class CompletedRun:
    """What a program gave back: exit code and the exact bytes of both streams."""

    argv: tuple[str, ...]
    exit_code: int
    stdout_bytes: bytes = field(repr=False)
    stderr_bytes: bytes = field(repr=False)

    @property
    def stdout(self) -> str:
        """Standard output as text."""
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """Standard error as text."""
        return self.stderr_bytes.decode(errors="replace")


class CommandFailedError(AssertionError):
    """A program that had to succeed did not; the text shows the command, its exit code and both streams."""

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
    timeout_seconds: float = 60,
    check: bool = True,
) -> CompletedRun:
    """Run `argv` to its end, in `folder` when given.

    `input_text` is what it reads from standard input (nothing when absent); `environment` replaces ours when given.
    Raises `CommandFailedError` for a non-zero exit when `check`, and `TimeoutError`, with the program killed, when it
    takes longer.
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
            f"no end after {timeout_seconds:g} s: {shlex.join(argv)}\n{seen.decode(errors='replace')}"
        ) from None
    completed = CompletedRun(tuple(argv), done.returncode, done.stdout, done.stderr)
    if check and completed.exit_code != 0:
        raise CommandFailedError(completed)
    return completed
