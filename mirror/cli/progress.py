"""Progress of a copy: a bar on a terminal, one line a tag elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from mirror.cli.printing import size
from mirror.registry.journal import Outcome

_STYLES = {
    Outcome.COPIED: "green",
    Outcome.UNCHANGED: "dim",
    Outcome.SKIPPED: "yellow",
    Outcome.GONE: "yellow",
    Outcome.DROPPED: "yellow",
    Outcome.FAILED: "bold red",
}


class TagBars:
    """Shows each tag that is worked on; enter it to show bars. Implements :class:`mirror.transfer.progress.Reporter`.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> TagBars:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def begin(self, label: str) -> TagBar:
        return TagBar(self._bars, label)


class TagBar:
    """One tag: a bar while bytes move, then a line. Implements :class:`mirror.transfer.progress.TagProgress`."""

    def __init__(self, bars: Progress, label: str) -> None:
        self._bars = bars
        self._label = label
        self._task = bars.add_task(label, total=None)
        self._total_bytes = 0
        self._moved_bytes = 0
        self._begun = time.monotonic()

    def expect(self, total_bytes: int) -> None:
        self._total_bytes += total_bytes
        self._bars.update(self._task, total=self._total_bytes)

    def advance(self, size_bytes: int) -> None:
        self._moved_bytes += size_bytes
        self._bars.advance(self._task, size_bytes)

    def done(self, outcome: Outcome, reason: str = "") -> None:
        self._bars.remove_task(self._task)
        told = reason
        if outcome is Outcome.COPIED:
            seconds = time.monotonic() - self._begun
            rate = size(int(self._moved_bytes / max(seconds, 1e-3)))
            told = f"{size(self._moved_bytes)} in {seconds:.1f} s ({rate}/s){f', {reason}' if reason else ''}"
        line = Text.assemble(self._label, " ", (outcome.value, _STYLES[outcome]), f" {told}" if told else "")
        self._bars.console.print(line)
