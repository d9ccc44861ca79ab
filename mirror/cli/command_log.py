"""Log lines of a command, written like its other messages."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TextIO, cast

import structlog

#: Events that commands do not tell: a refused plugin, and damaged content. The error or the result that a command
#: prints has the reason.
_UNTOLD: Final = frozenset(
    {"plugin refused", "damaged content found", "damaged content not healed", "catalog corrected"}
)
#: Events of level ``info`` that a user of a command should know.
_TOLD: Final = frozenset({"data folder created", "data folder updated"})
#: Shortest time between two lines that differ in their numbers only.
_PAUSE_SECONDS: Final = 5.0
_WARNINGS: Final = frozenset({"warning", "error", "critical"})


class CommandLog:
    """Renders the events that a user of a command should know. A processor of structlog.

    Args:
        seconds: seconds of a clock that never goes back.
        tells_all: True to render all events.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic, *, tells_all: bool = False) -> None:
        self._tells_all = tells_all
        self._seconds = seconds
        self._told_at: dict[tuple[str, str], float] = {}

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        """Return the line of an event, such as ``note: data folder created (path data, format 17)``."""
        name, level = str(event.get("event", "")), str(event.get("level", "info"))
        is_told = self._tells_all or name in _TOLD or (level in _WARNINGS and name not in _UNTOLD)
        if not is_told or self._is_repeated(name, event):
            raise structlog.DropEvent
        retry, error = event.get("retry"), event.get("error")
        hidden = {"event", "level", "timestamp", "error", "retry", "exc_info", "exception", "upstream"}
        fields = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in event.items() if key not in hidden)
        line = f"{'note' if level == 'info' else level}: {name}"
        line += f" ({retry or fields})" if retry or fields else ""
        return f"{line}: {error}" if error else line

    def _is_repeated(self, name: str, event: MutableMapping[str, Any]) -> bool:
        """Return True if the same was told about the same upstream a moment ago."""
        if "retry" not in event:
            return False
        key, now = (name, str(event.get("upstream"))), self._seconds()
        is_repeated = now - self._told_at.get(key, -_PAUSE_SECONDS) < _PAUSE_SECONDS
        if not is_repeated:
            self._told_at[key] = now
        return is_repeated


class _StandardError:
    """Standard error as it is at each line: while progress bars are shown, they replace it to stay below the lines."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


#: Destination of the log lines of a command.
STANDARD_ERROR: Final = cast(TextIO, _StandardError())
