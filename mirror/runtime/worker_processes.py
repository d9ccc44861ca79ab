"""Several processes that serve one listening socket, and the parent that keeps them."""

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

_RESTART_PAUSE_SECONDS = 1.0


def run_workers(count: int, work: Callable[[int, int], None], at_stop: Callable[[], object]) -> int:
    """Fork ``count`` processes and wait for them; one that dies unasked is replaced after a second.

    Call it before anything in this process has started a thread or an event loop. SIGTERM and SIGINT are passed
    on, and the workers are expected to finish what they do and return.

    Args:
        count: how many processes.
        work: what a worker does until it is told to stop by SIGTERM. Its arguments are its place, from 0, which
            one that replaces it takes over, and a file descriptor that becomes readable when the parent is gone,
            however it went.
        at_stop: called in the parent, once or more, when it is told to stop; it lets go of what workers inherit, such
            as a listening socket, which would go on taking connections that nobody serves.

    Returns:
        The exit code for this process: 0, or 1 where a worker failed while stopping.
    """
    alive_read, alive_write = os.pipe()
    workers: dict[int, int] = {}
    stopping = False
    failed = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        at_stop()
        for pid in workers:
            with suppress(ProcessLookupError):  # it ended by itself; os.wait() tells
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
                if code not in {0, -signal.SIGTERM}:  # the signal itself ends one that has not begun its work
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
    """The whole life of a worker. It never returns into the parent's code."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's ^C reaches all; the parent passes it on
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - the last frame of a process: anything is reported, nothing can be raised
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tell(text: str) -> None:
    """Written by hand: a log that has a thread must not be there when a process forks."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
