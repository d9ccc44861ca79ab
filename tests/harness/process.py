"""A program as a service: started, awaited, stopped; its output in a log file."""

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
    """A service ended or stayed silent while it was awaited; the text ends with the tail of its log."""


class Service:
    """A program in a process group of its own; as a context manager it runs inside the block.

    `argv`: program and arguments. `log`: file that receives stdout and stderr (appended, so a restart keeps the past).
    `ready`: a question from `readiness`, asked until it says true; without one the service counts as ready at once.
    `environment` replaces ours when given. Only the own process group is ever signalled.

    The kernel sends SIGTERM to the program should the thread that started it end first (a killed test run leaves
    nothing behind): start services from a thread that outlives them, such as the main one.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool] | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        start_timeout_seconds: float = 20,
        stop_timeout_seconds: float = 15,
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
        """Process id while it has not been stopped."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the program and wait until it is ready.

        Raises `ServiceFailedError`, with the process gone, when it ends early or is not ready in time.
        """
        if self._process is not None:
            raise RuntimeError(f"already started: {shlex.join(self.argv)}")
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
                start_new_session=True,
            )
        try:
            wait_until(self._ready_or_ended, self._start_timeout_seconds, "the service to be ready")
            if not self.running():
                raise ServiceFailedError(f"it ended with exit code {self.stop()}")
        except (TimeoutError, ServiceFailedError) as error:
            self.stop()
            raise ServiceFailedError(
                f"{shlex.join(self.argv)}: {error}\n--- end of {self.log}\n{self.log_tail()}"
            ) from None
        except BaseException:
            self.stop()
            raise

    def running(self) -> bool:
        """True while the program itself has not ended."""
        if self._process is None:
            return False
        # WNOWAIT leaves the ended process unreaped, so that its group id stays ours until we are done with it.
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return ended is None

    def stop(self) -> int | None:
        """End the group: SIGTERM, then SIGKILL to what is left; returns the exit code, None if it did not run."""
        return self._end(signal.SIGTERM, self._stop_timeout_seconds)

    def kill(self) -> int | None:
        """End the whole group by SIGKILL at once, as a crash would; `start` may follow."""
        return self._end(signal.SIGKILL, 0)

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of the log."""
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
            wait_until(lambda: not self.running(), patience_seconds, "the service to end")
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        code = self._process.wait()
        self._process = None
        return code
