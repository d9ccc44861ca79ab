"""Being asked to stop: by a signal, or by the end of the process that started us."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_requested(parent: int | None = None) -> Iterator[asyncio.Event]:
    """An event that is set when this process should stop. Enter it inside the event loop.

    Args:
        parent: a file descriptor that becomes readable when the parent is gone; None where there is none to watch.
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
                # Once was enough: a second signal, on the way out, must not cost the last lines of the log.
                signal.signal(number, signal.SIG_IGN)
