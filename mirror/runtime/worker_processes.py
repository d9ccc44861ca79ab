"""Worker processes that serve one listening socket, and the parent process that supervises them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, Pipe, wait
from types import FrameType
from typing import Any, Final

import structlog

from mirror.runtime.shutdown_signals import hung_up_early

_LOG = structlog.get_logger(__name__)
# A worker that dies at its start must not make the parent fork in a tight loop.
_RESTART_PAUSE_SECONDS: Final = 1.0
_MOST_WOKEN_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class ParentProcess:
    """The parent, as a worker sees it.

    Attributes:
        alive: file descriptor that becomes readable when the parent ends for any reason.
        channel: the way of messages, in both directions.
    """

    alive: int
    channel: Connection

    async def receive(self) -> Any:
        """Wait for the next message and return it. Raises EOFError if the parent has ended."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self.channel.fileno(), ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self.channel.fileno())
        return await asyncio.to_thread(self.channel.recv)

    def answer(self, number: int, refusal: str) -> None:
        """Answer the proposal with this number: with the reason of a refusal, or with an empty text to accept."""
        with suppress(OSError):  # the parent has ended, and so will this process
            self.channel.send((number, refusal))


class WorkerProcesses:
    """A fixed number of workers. A worker that ends unexpectedly is replaced after a pause of one second.

    Make and run it before anything in this process has started a thread or an event loop. The parent passes SIGTERM and
    SIGINT on to the workers, which should finish their work and return.

    Args:
        count: number of workers.
        work: runs a worker until SIGTERM. Called with the slot number, from 0, which a replacement takes over, and the
            parent.
        at_stop: called in the parent, at least once, on a request to stop. Must close resources that the workers
            inherit, such as a listening socket, which would otherwise accept connections that no worker serves.
        at_hangup: called in the parent after a SIGHUP.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[int, ParentProcess], None],
        at_stop: Callable[[], object],
        at_hangup: Callable[[WorkerProcesses], object],
    ) -> None:
        self._count = count
        self._work = work
        self._at_stop = at_stop
        self._at_hangup = at_hangup
        self._places: dict[int, int] = {}
        self._channels: dict[int, Connection] = {}
        self._pipes: tuple[int, ...] = ()
        self._stopping = self._failed = self._has_hung_up = False

    def run(self) -> int:
        """Start the workers, and wait until they have ended after a request to stop.

        Returns:
            The exit code for this process: 0, or 1 if a worker failed while stopping.
        """
        # Only the parent keeps the write end of the first pipe. The kernel closes it even after a SIGKILL of the
        # parent, which makes the read end readable in every worker.
        self._pipes = (*os.pipe(), *os.pipe())
        _, _, woken, waker = self._pipes
        for end in (woken, waker):
            os.set_blocking(end, False)
        handlers = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: self._note_hangup,
            signal.SIGCHLD: _wake,
        }
        previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        try:
            for place in range(self._count):
                self._start(place)
            if hung_up_early():
                os.kill(os.getpid(), signal.SIGHUP)
            while self._places:
                wait([woken])
                with suppress(BlockingIOError):
                    os.read(woken, _MOST_WOKEN_BYTES)
                self._replace_ended()
                if self._has_hung_up and not self._stopping:
                    self._has_hung_up = False
                    self._at_hangup(self)
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in previous.items():
                signal.signal(number, handler)
            for end in self._pipes:
                os.close(end)
        return 1 if self._failed else 0

    def propose(self, number: int, message: object, within_seconds: float) -> list[str]:
        """Send a message to all workers, and wait for their answers.

        Args:
            number: number of the proposal, which the answers carry.
            message: the message.
            within_seconds: longest time for all answers.

        Returns:
            The reasons of those who refused, or did not answer; nothing if all accepted.
        """
        refusals: list[str] = []
        waiting: dict[Connection, int] = {}
        for pid, channel in self._channels.items():
            waiting[channel] = pid
            with suppress(OSError):  # the worker has ended, which is noticed below
                channel.send(message)
        until_seconds = time.monotonic() + within_seconds
        while waiting and (ready := wait(list(waiting), max(until_seconds - time.monotonic(), 0))):
            for channel in (each for each in waiting.copy() if each in ready):
                try:
                    answered, refusal = channel.recv()
                except (EOFError, OSError):
                    answered, refusal = number, f"worker {waiting[channel]} has ended; fix: reload again"
                if answered == number:  # not a late answer to an earlier proposal
                    del waiting[channel]
                    refusals += [refusal] if refusal else []
        late = f"did not answer within {within_seconds:g} s; fix: reload again"
        return refusals + [f"worker {pid} {late}" for pid in waiting.values()]

    def _start(self, place: int) -> None:
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            alive, *others = self._pipes
            for end in others:
                os.close(end)
            for channel in (ours, *self._channels.values()):
                channel.close()
            _run_and_exit(partial(self._work, place, ParentProcess(alive, theirs)))
        theirs.close()
        self._places[pid], self._channels[pid] = place, ours

    def _replace_ended(self) -> None:
        while self._places:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            if pid not in self._places:
                continue
            place = self._places.pop(pid)
            self._channels.pop(pid).close()
            code = os.waitstatus_to_exitcode(status)
            if self._stopping:
                # A worker that has not installed its handlers yet is ended by the signal itself.
                if code not in {0, -signal.SIGTERM}:
                    self._failed = True
                    _LOG.error("worker failed while stopping", pid=pid, exit_code=code)
                continue
            _LOG.error("worker ended, starting another", pid=pid, exit_code=code)
            time.sleep(_RESTART_PAUSE_SECONDS)
            if not self._stopping:
                self._start(place)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        self._at_stop()
        for pid in list(self._places):
            with suppress(ProcessLookupError):  # the worker has ended already, which is noticed later
                os.kill(pid, signal.SIGTERM if number == signal.SIGINT else number)

    def _note_hangup(self, _number: int, _frame: FrameType | None) -> None:
        self._has_hung_up = True


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Do nothing. A signal with a handler wakes the parent, and one without does not."""


def _run_and_exit(work: Callable[[], None]) -> None:
    """Run a worker for its whole life. Never returns into the parent's code."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # ^C on a terminal signals the whole process group. The parent turns its SIGINT into one SIGTERM per worker.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - the last frame of the process: report everything, raise nothing
        _LOG.critical("worker failed", exc_info=True)
    finally:
        # ``os._exit`` skips the parent's exit handlers and, with them, the flush of the standard streams.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
