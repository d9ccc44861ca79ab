"""Progress of a copy: a bar on a terminal, one line a tag elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from mirror.cli.printing import size
from mirror.transfer.progress import Outcome

_STYLES = {Outcome.COPIED: "green", Outcome.UNCHANGED: "dim", Outcome.FAILED: "bold red"}


class TagProgress:
    """Shows one tag after the other. Implements :class:`mirror.transfer.progress.Progress`; enter it to show anything.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._label = ""
        self._moved_bytes = 0
        self._begun = 0.0

    def __enter__(self) -> TagProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def begin(self, label: str) -> None:
        self._label, self._moved_bytes, self._begun = label, 0, time.monotonic()
        self._task = self._bar.add_task(label, total=None)

    def expect(self, total_bytes: int) -> None:
        if self._task is not None:
            self._bar.update(self._task, total=total_bytes)

    def advance(self, size_bytes: int) -> None:
        self._moved_bytes += size_bytes
        if self._task is not None:
            self._bar.advance(self._task, size_bytes)

    def done(self, outcome: Outcome, reason: str = "") -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        seconds = time.monotonic() - self._begun
        told = reason
        if outcome is Outcome.COPIED:
            rate = size(int(self._moved_bytes / max(seconds, 1e-3)))
            told = f"{size(self._moved_bytes)} in {seconds:.1f} s ({rate}/s)"
        line = Text.assemble(self._label, " ", (outcome.value, _STYLES[outcome]), f" {told}" if told else "")
        self._bar.console.print(line)
