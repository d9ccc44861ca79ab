"""Logging: structlog, configured once per process. Standard library loggers write to the same stream.

A short phrase names each event, and fields carry the rest. A dedicated thread writes lines in batches, so a request
never waits for the reader of the log. Errors and warnings wake the thread at once. All lines are written at exit.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import Processor

Format = Literal["auto", "console", "json"]

_PERIOD_SECONDS: Final = 0.1
# Most bytes in one write. Workers may share one pipe, which keeps a write of this length whole, so lines never mix.
_BATCH_BYTES: Final = 4096
# Most lines that wait for a slow reader. Further lines are dropped and counted, so memory stays bounded.
_MAX_WAITING: Final = 100_000
_SECRETS: Final = frozenset({"authorization", "cookie", "credentials", "password", "secret", "token"})
_HIDDEN: Final = "(hidden)"
#: Id of the request that is being answered, which every line gets. Empty for work that no client requested.
REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
_LEVELS: Final = {"exception": "error", "warn": "warning"}
#: Number of the level of each method of a logger.
_NUMBERS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
}


@contextmanager
def configured(
    level: str = "info",
    form: Format = "auto",
    stream: TextIO | None = None,
    *,
    without: Collection[str] = (),
    renderer: Processor | None = None,
    has_thread: bool = True,
) -> Iterator[EventLog]:
    """Configure logging, and write all waiting lines on exit. Enter once in each process, after any fork.

    Args:
        level: the lowest level to write: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``json``: one JSON object per line. ``console``: text for people. ``auto``: text on a terminal, else JSON.
        stream: the destination of log lines; None: standard error.
        without: events that are not written.
        renderer: makes the line of an event, in place of ``form``. Lines of libraries are dropped then.
        has_thread: False for a process that forks: each line is written at once, and forks may configure again.

    Yields:
        The log, with the queue of waiting lines, which counts the dropped lines.

    Raises:
        ValueError: the level is unknown.
    """
    stream = stream or sys.stderr
    threshold = _threshold(level)
    for_people = form == "console" or (form == "auto" and stream.isatty())
    lines = LogLines(stream, has_thread=has_thread)
    render: Processor = structlog.dev.ConsoleRenderer(colors=stream.isatty()) if for_people else _render_json
    render = render if renderer is None else renderer
    log = EventLog(lines, render, without, threshold)
    structlog.configure(
        processors=[log.render],
        # Loggers are bound once, so that their class cannot follow a change of the level. The log drops the events.
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_arguments: _LineLogger(lines),
        cache_logger_on_first_use=has_thread,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _complete],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler if renderer is None else logging.NullHandler()]
    log.set_level(level)
    # alembic logs the names of its plugins at every start.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    try:
        yield log
    finally:
        lines.close()


def _threshold(level: str) -> int:
    threshold = logging.getLevelNamesMapping().get(level.upper(), 0)
    # ``getLevelNamesMapping`` gives 0 for NOTSET, which is rejected like an unknown name.
    if not threshold:
        raise ValueError(f"{level!r} is not a log level; fix: use debug, info, warning or error")
    return threshold


class EventLog:
    """Makes the lines of events.

    Args:
        lines: receives the lines.
        render: makes a line of a complete event.
        without: events that are not written.
        threshold: number of the lowest level that is written, as in ``logging``.

    Attributes:
        lines: receives the lines.
    """

    def __init__(self, lines: LogLines, render: Processor, without: Collection[str], threshold: int) -> None:
        self.lines = lines
        self._render = render
        self._without = without
        self._threshold = threshold
        self._is_info = threshold <= logging.INFO

    def set_level(self, level: str) -> None:
        """Set the lowest level to write, also for the loggers of the standard library. Raises ValueError."""
        self._threshold = _threshold(level)
        self._is_info = self._threshold <= logging.INFO
        logging.getLogger().setLevel(self._threshold)

    def info(self, event: MutableMapping[str, Any]) -> None:
        """Write an event of level ``info`` in about half of structlog's time. For the access log.

        Args:
            event: the fields, with the phrase as ``event``. The method adds fields to it.
        """
        if self._is_info and event["event"] not in self._without:
            self.lines.write(str(self._render(None, "info", _complete(None, "info", event))) + "\n")

    def render(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        """Return the line of an event. A processor of structlog."""
        if _NUMBERS[method] < self._threshold or event["event"] in self._without:
            raise structlog.DropEvent
        return self._render(logger, method, _complete(logger, method, event))


def _complete(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the request, the level and the time to an event, and hide secrets.

    A processor of structlog. One function instead of four, because the access log calls this for every answer.
    """
    if "request_id" not in event and (request_id := REQUEST_ID.get()):
        event["request_id"] = request_id
    event["level"] = _LEVELS.get(method, method)
    event["timestamp"] = _now_text()
    if not _SECRETS.isdisjoint(event):
        for key in _SECRETS.intersection(event):
            event[key] = _HIDDEN
    return event


def _now_text() -> str:
    """Return the time in UTC as ISO 8601 with microseconds."""
    microseconds = time.time_ns() // 1000
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_second_text(seconds)}.{rest:06}Z"


@lru_cache(maxsize=2)
def _second_text(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


_encode = json.JSONEncoder(default=str).encode


def _render_json(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, method, event)
    return _encode(event)


class _LineLogger:
    """The logger to which structlog passes rendered lines."""

    def __init__(self, lines: LogLines) -> None:
        self._lines = lines

    def info(self, line: str) -> None:
        self._lines.write(line + "\n")

    def error(self, line: str) -> None:
        self._lines.write(line + "\n")
        self._lines.hurry()

    debug = info
    warning = critical = error


class LogLines:
    """A text stream whose lines a thread writes to another stream, or without one the caller.

    Attributes:
        dropped: number of lines lost because the reader of the log was too slow.
    """

    def __init__(self, stream: TextIO, *, has_thread: bool = True) -> None:
        self._stream = stream
        self._waiting: deque[str] = deque()
        self.dropped = 0
        self._dropped_told = 0
        self._wake = threading.Event()
        self._closed = not has_thread
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        if has_thread:
            self._thread.start()

    def write(self, text: str) -> None:
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append(text)
        else:
            self.dropped += 1
        if self._closed:  # the thread has ended, so the caller writes the lines logged after ``close``
            self._drain()

    def flush(self) -> None:
        """Do nothing. A standard library handler calls this after each line, and batching must not end there."""

    def hurry(self) -> None:
        """Wake the thread, to write the waiting lines now."""
        self._wake.set()

    def close(self) -> None:
        """Write the waiting lines and end the thread."""
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(_PERIOD_SECONDS)
            self._wake.clear()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        # The reader of the log may have closed its end. No other place is left to report that.
        with suppress(OSError, ValueError):
            while self._waiting:
                self._stream.write(self._batch())
                self._stream.flush()
            if dropped := self.dropped - self._dropped_told:
                self._dropped_told += dropped
                self._stream.write(f"{dropped} log lines were dropped because the reader of the log was too slow\n")

    def _batch(self) -> str:
        batch = [self._waiting.popleft()]
        room = _BATCH_BYTES - len(batch[0])
        while self._waiting and (room := room - len(self._waiting[0])) >= 0:
            batch.append(self._waiting.popleft())
        return "".join(batch)
