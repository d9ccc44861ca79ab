"""Logs: structlog, set up once for a process; what the standard library's loggers say goes the same way.

Events are named by a short phrase, the rest are fields. Lines are written in batches by a thread of their own, so that
a request never waits for whoever reads them; warnings are written at once, and everything is at exit.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import Processor

Format = Literal["auto", "console", "json"]

_PERIOD_SECONDS: Final = 0.1
# Lines in one write: pipes keep writes of this length whole where several processes share one.
_BATCH_BYTES: Final = 4096
# Lines kept for a reader that takes none, before further ones are dropped and counted.
_MAX_WAITING: Final = 100_000
_SECRETS: Final = frozenset({"authorization", "cookie", "credentials", "password", "secret", "token"})
_HIDDEN: Final = "(hidden)"


@contextmanager
def configured(level: str = "info", form: Format = "auto", stream: TextIO | None = None) -> Iterator[LogLines]:
    """Set logs up; on the way out everything is written. Enter it once in a process, after any fork.

    Args:
        level: least severe level that is written: ``debug``, ``info``, ``warning``, ``error``.
        form: ``json``: a JSON object a line; ``console``: for people; ``auto``: for people on a terminal, else JSON.
        stream: where lines go; standard error where none is given.

    Yields:
        the lines on their way, which know how many were dropped.

    Raises:
        ValueError: there is no such level.
    """
    stream = stream or sys.stderr
    threshold = logging.getLevelNamesMapping().get(level.upper(), 0)
    if not threshold:
        raise ValueError(f"{level!r} is not a log level: use debug, info, warning or error")
    for_people = form == "console" or (form == "auto" and stream.isatty())
    lines = LogLines(stream)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    rendered: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
        if for_people
        else [structlog.processors.format_exc_info, _render_json]
    )
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_arguments: _LineLogger(lines),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # it names its own parts at every start
    try:
        yield lines
    finally:
        lines.close()


def _hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in _SECRETS.intersection(event):
        event[key] = _HIDDEN
    return event


_encode = json.JSONEncoder(default=str).encode


def _render_json(_logger: Any, _method: str, event: Mapping[str, Any]) -> str:
    return _encode(event)


class _LineLogger:
    """What structlog hands rendered lines to."""

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
    """A text stream that a thread empties into another.

    Attributes:
        dropped: lines that were lost because nobody took them.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: deque[str] = deque()
        self.dropped = 0
        self._dropped_told = 0
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append(text)
        else:
            self.dropped += 1
        if self._closed:
            self._drain()

    def flush(self) -> None:
        """Nothing: a handler of the standard library calls it after every line."""

    def hurry(self) -> None:
        """Have what waits written now."""
        self._wake.set()

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(_PERIOD_SECONDS)
            self._wake.clear()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        # Whoever reads the lines may be gone: then there is nobody to tell.
        with suppress(OSError, ValueError):
            while self._waiting:
                self._stream.write(self._batch())
                self._stream.flush()
            if dropped := self.dropped - self._dropped_told:
                self._dropped_told += dropped
                self._stream.write(f"{dropped} log lines were dropped: nobody took them\n")

    def _batch(self) -> str:
        batch = [self._waiting.popleft()]
        room = _BATCH_BYTES - len(batch[0])
        while self._waiting and (room := room - len(self._waiting[0])) >= 0:
            batch.append(self._waiting.popleft())
        return "".join(batch)
