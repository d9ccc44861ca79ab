"""Run a program as a service: start the program, wait until it is ready, stop it, and keep its output in a log file."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.readiness import wait_until


class ServiceFailedError(RuntimeError):
    """A service ended or was not ready in time. The message ends with the tail of its log."""


class Service:
    """A program in its own process group. As a context manager, the program runs inside the block.

    Only the program's own process group is ever signalled.

    The kernel sends SIGTERM to the program when the thread that started the program ends, so that a killed test run
    leaves no processes behind. Start services from a thread that outlives them, such as the main thread.

    Args:
        argv: Program and arguments.
        log: File that receives stdout and stderr. Output is appended, so that a restart keeps earlier output.
        ready: Probe from `readiness`, repeated until it returns True. If None, the service is ready at once.
        environment: Environment of the program. If None, the program inherits the current environment.
        folder: Working directory of the program.
        start_timeout_seconds: Time that the program has to become ready.
        stop_timeout_seconds: Time between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool] | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        start_timeout_seconds: float = 120,
        stop_timeout_seconds: float = 60,
    ) -> None:
        self.argv = list(argv)
        self.log = log
        self._ready = ready
        self._environment = environment
        self._folder = folder
        self._start_timeout_seconds = start_timeout_seconds
        self._stop_timeout_seconds = stop_timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id of the program, or None before it is started and after it is stopped."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the program and wait until it is ready.

        Raises:
            ServiceFailedError: If the program ends early or is not ready in time. The program has been stopped.
            RuntimeError: If the program is already started.
        """
        if self._process is not None:
            raise RuntimeError(f"the service is already started: {shlex.join(self.argv)}")
        # The parent-death signal ends the program even if the test run is killed with SIGKILL.
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*guard, *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,  # a process group of its own, so that signals reach only this program
            )
        try:
            wait_until(self._ready_or_ended, "the service to be ready", timeout_seconds=self._start_timeout_seconds)
            if not self.running():
                raise ServiceFailedError(f"the program ended with exit code {self.stop()}")
        except (TimeoutError, ServiceFailedError) as error:
            self.stop()
            raise ServiceFailedError(
                f"{shlex.join(self.argv)}: {error}\n--- end of {self.log}\n{self.log_tail()}"
            ) from None
        except BaseException:
            self.stop()
            raise

    def running(self) -> bool:
        """Return True while the program itself has not ended."""
        if self._process is None:
            return False
        # WNOWAIT leaves the ended process unreaped, so that the kernel cannot reuse its group id before `_end`.
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return ended is None

    def stop(self) -> int | None:
        """End the process group with SIGTERM, and with SIGKILL after `stop_timeout_seconds`.

        Returns:
            Exit code of the program, or None if the program was not started.
        """
        return self._end(signal.SIGTERM, self._stop_timeout_seconds)

    def kill(self) -> int | None:
        """End the whole process group with SIGKILL at once, like a crash. `start` may be called again."""
        return self._end(signal.SIGKILL, 0)

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _ready_or_ended(self) -> bool:
        return not self.running() or self._ready is None or self._ready()

    def _end(self, first: signal.Signals, patience_seconds: float) -> int | None:
        if self._process is None:
            return None
        group = self._process.pid
        with suppress(ProcessLookupError):
            os.killpg(group, first)
        with suppress(TimeoutError):
            wait_until(lambda: not self.running(), "the service to end", timeout_seconds=patience_seconds)
        # Children may outlive the program, so the group gets SIGKILL in any case, before the program is reaped.
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        code = self._process.wait()
        self._process = None
        return code
