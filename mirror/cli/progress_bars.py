"""Progress of a copy: a bar on a terminal, one line a tag elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from mirror.cli.printing import size
from mirror.records.sync_runs import TagOutcome

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_STYLES = {
    TagOutcome.COPIED: "green",
    TagOutcome.UNCHANGED: "dim",
    TagOutcome.SKIPPED: "yellow",
    TagOutcome.GONE: "yellow",
    TagOutcome.DROPPED: "yellow",
    TagOutcome.FAILED: "bold red",
}


class TagBars:
    """Shows each tag that is worked on; enter it to show bars.

    Implements :class:`mirror.transfer.progress_reporting.Reporter`.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = byte_bars(console) if console.is_terminal else None

    def __enter__(self) -> TagBars:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def begin(self, label: str) -> TagLine:
        return TagLine(self._console, label) if self._bars is None else TagBar(self._console, label, self._bars)


class TagLine:
    """One tag: a line when it has ended. Implements :class:`mirror.transfer.progress_reporting.TagProgress`."""

    def __init__(self, console: Console, label: str) -> None:
        self._console = console
        self._label = label
        self._moved_bytes = 0
        self._begun = time.monotonic()

    def expect(self, total_bytes: int) -> None:
        """Nothing is shown of it."""

    def advance(self, size_bytes: int) -> None:
        self._moved_bytes += size_bytes

    def done(self, outcome: TagOutcome, reason: str = "") -> None:
        told = self._told(outcome, reason)
        self._console.out(f"{self._label} {outcome}{f' {told}' if told else ''}", highlight=False)

    def _told(self, outcome: TagOutcome, reason: str) -> str:
        if outcome is not TagOutcome.COPIED:
            return reason
        seconds = time.monotonic() - self._begun
        rate = size(int(self._moved_bytes / max(seconds, 1e-3)))
        return f"{size(self._moved_bytes)} in {seconds:.1f} s ({rate}/s){f', {reason}' if reason else ''}"


class TagBar(TagLine):
    """One tag on a terminal: a bar while bytes move, then a line in colour."""

    def __init__(self, console: Console, label: str, bars: Progress) -> None:
        super().__init__(console, label)
        self._bars = bars
        self._task: TaskID = bars.add_task(label, total=None)
        self._total_bytes = 0

    def expect(self, total_bytes: int) -> None:
        self._total_bytes += total_bytes
        self._bars.update(self._task, total=self._total_bytes)

    def advance(self, size_bytes: int) -> None:
        super().advance(size_bytes)
        self._bars.advance(self._task, size_bytes)

    def done(self, outcome: TagOutcome, reason: str = "") -> None:
        from rich.text import Text

        self._bars.remove_task(self._task)
        told = self._told(outcome, reason)
        ended = (outcome.value, _STYLES[outcome])
        self._console.print(Text.assemble(self._label, " ", ended, f" {told}" if told else ""))


def byte_bars(console: Console) -> Progress:
    from rich import progress  # where there are no bars, a command need not wait for it

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        transient=True,
    )
