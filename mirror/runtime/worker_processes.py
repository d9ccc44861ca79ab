"""Worker processes that serve one listening socket, and the parent process that supervises them."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType

# A worker that dies at its start must not make the parent fork in a tight loop.
_RESTART_PAUSE_SECONDS = 1.0


def run_workers(count: int, work: Callable[[int, int], None], at_stop: Callable[[], object]) -> int:
    """Fork ``count`` processes and wait for them. Replace a worker that ends unexpectedly after a pause of one second.

    Call before anything in this process has started a thread or an event loop. The parent passes SIGTERM and SIGINT on
    to the workers, which should finish their work and return.

    Args:
        count: number of workers.
        work: runs a worker until SIGTERM. Called with the slot number, from 0, which a replacement takes over, and a
            file descriptor that becomes readable when the parent ends for any reason.
        at_stop: called in the parent, at least once, on a request to stop. Must close resources that the workers
            inherit, such as a listening socket, which would otherwise accept connections that no worker serves.

    Returns:
        The exit code for this process: 0, or 1 if a worker failed while stopping.
    """
    # Only the parent keeps the write end. The kernel closes it even after a SIGKILL of the parent, which makes the read
    # end readable in every worker.
    alive_read, alive_write = os.pipe()
    workers: dict[int, int] = {}
    stopping = False
    failed = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        at_stop()
        for pid in workers:
            with suppress(ProcessLookupError):  # the worker has ended already; os.wait() reports it
                os.kill(pid, signal.SIGTERM if number == signal.SIGINT else number)

    def start(place: int) -> None:
        pid = os.fork()
        if pid == 0:
            os.close(alive_write)
            _run_and_exit(partial(work, place, alive_read))
        workers[pid] = place

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for place in range(count):
            start(place)
        while workers:
            pid, status = os.wait()
            if pid not in workers:
                continue
            place = workers.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if stopping:
                # A worker that has not installed its handlers yet is ended by the signal itself.
                if code not in {0, -signal.SIGTERM}:
                    failed = True
                    _tell(f"worker {pid} ended with exit code {code} while stopping")
                continue
            _tell(f"worker {pid} ended with exit code {code}; starting another")
            time.sleep(_RESTART_PAUSE_SECONDS)
            if not stopping:
                start(place)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(alive_read)
        os.close(alive_write)
    return 1 if failed else 0


def _run_and_exit(work: Callable[[], None]) -> None:
    """Run a worker for its whole life. Never returns into the parent's code."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # ^C on a terminal signals the whole process group. The parent turns its SIGINT into one SIGTERM per worker.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - the last frame of the process: report everything, raise nothing
        traceback.print_exc()
    finally:
        # ``os._exit`` skips the parent's exit handlers and, with them, the flush of the standard streams.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tell(text: str) -> None:
    """Write a line to standard error. A logger with a thread must not exist in a process that forks."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
