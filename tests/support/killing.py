"""Kill a command at random points again and again, and let it go on each time."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.harness.command import CommandFailedError, CompletedRun

_LONGEST_SECONDS = 600.0
_PAUSE_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class _Span:
    """Seconds after the start of the program, between which it is killed."""

    begun: float
    ended: float


def kill_at_random_points(
    argv: Sequence[str],
    *,
    kills: int,
    seed: int,
    check: Callable[[], None],
    afresh: Callable[[], None],
    begun: Callable[[], bool] = lambda: True,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> CompletedRun:
    """Run a command, kill it with SIGKILL at random points until it was killed often enough, and let it finish.

    The command runs once undisturbed, which tells how long it takes. Then it is started again and again, and killed at
    a random time between the beginning of its work and its end. When a run ends before its kill, the work begins anew
    with `afresh`.

    Example::

        kill_at_random_points(
            [PROGRAM, "bundle", "export", "-o", str(bundle), …], kills=50, seed=14,
            check=lambda: ensure_whole_or_absent(bundle), afresh=lambda: bundle.unlink(),
            begun=lambda: bundle.with_name("F.partial").exists(),
        )

    Args:
        argv: Program and arguments. The program must end with exit code 0 unless it is killed.
        kills: Number of kills.
        seed: Seed of all choices. A seed repeats the choices and not the exact run.
        check: Called after each kill and after each end. Raises if something wrong can be seen.
        afresh: Called after each completed run except for the last. Removes the result, so that the next run works.
        begun: Returns True once the command has begun its work, the first time or after `afresh`. Kills come later
            than that, so that none is wasted on the start of the interpreter.
        environment: Environment of the program. If None, the program inherits the current environment.
        folder: Working directory of the program.

    Returns:
        The last run, which was not killed.

    Raises:
        CommandFailedError: If a run ended with another exit code than 0 although it was not killed.
        TimeoutError: If a run takes ten minutes.
    """
    choices = random.Random(seed)
    done, span = _run(argv, None, begun, environment, folder)
    check()
    killed = 0
    is_whole = True
    while killed < kills:
        if is_whole:
            afresh()
        done, found = _run(argv, choices.uniform(span.begun, span.ended), begun, environment, folder)
        check()
        if done.exit_code != 0:
            killed += 1
        elif is_whole:  # the whole work in one run, which takes longer at one time than at another
            span = found
        is_whole = done.exit_code == 0
    if not is_whole:
        done, _ = _run(argv, None, begun, environment, folder)
        check()
    return done


def _run(
    argv: Sequence[str],
    kill_after_seconds: float | None,
    begun: Callable[[], bool],
    environment: Mapping[str, str] | None,
    folder: Path | None,
) -> tuple[CompletedRun, _Span]:
    """Run the program, and kill it after a time, or never for None."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
        started = time.monotonic()
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=messages,
            env=environment,
            cwd=folder,
            start_new_session=True,  # a process group of its own: only this program and its children are killed
        )
        ends = started + (_LONGEST_SECONDS if kill_after_seconds is None else kill_after_seconds)
        try:
            while process.poll() is None and not begun() and time.monotonic() < ends:
                time.sleep(_PAUSE_SECONDS)
            began = time.monotonic()
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, ends - began))
            ended = time.monotonic()
            if kill_after_seconds is None and process.poll() is None:
                raise TimeoutError(f"still running after {_LONGEST_SECONDS:g} s: {shlex.join(argv)}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            exit_code = process.wait()
        completed = CompletedRun(tuple(argv), exit_code, _content(output), _content(messages))
    if exit_code != 0 and (kill_after_seconds is None or exit_code != -signal.SIGKILL):
        raise CommandFailedError(completed)
    return completed, _Span(began - started, ended - started)


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
