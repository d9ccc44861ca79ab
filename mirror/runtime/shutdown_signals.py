"""Requests to stop, by a signal or the end of the parent process, and to reload."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: SIGHUPs that came before the server could reload.
_EARLY: list[int] = []


def keep_hangups() -> None:
    """Keep each SIGHUP from now on, until the server can reload. It would end the process."""
    signal.signal(signal.SIGHUP, lambda number, _frame: _EARLY.append(number))


def hung_up_early() -> bool:
    """Return True, once, if a SIGHUP was kept."""
    found = bool(_EARLY)
    _EARLY.clear()
    return found


@contextmanager
def stop_requested(parent: int | None = None) -> Iterator[asyncio.Event]:
    """Yield an event that is set when this process should stop. Enter inside the event loop.

    Args:
        parent: file descriptor that becomes readable when the parent process ends; None: no parent to watch.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    if parent is not None:
        loop.add_reader(parent, stop.set)
    try:
        yield stop
    finally:
        if parent is not None:
            loop.remove_reader(parent)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            if stop.is_set():
                # A second signal during shutdown must not kill the process before it has written its last log lines.
                signal.signal(number, signal.SIG_IGN)


@contextmanager
def hangups() -> Iterator[asyncio.Event]:
    """Yield an event that is set after each SIGHUP. Enter inside the event loop. Later ones are ignored."""
    loop = asyncio.get_running_loop()
    hung_up = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, hung_up.set)
    if hung_up_early():
        hung_up.set()
    try:
        yield hung_up
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
