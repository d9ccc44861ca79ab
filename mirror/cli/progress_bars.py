"""Progress of a copy: bars on a terminal, and one line for each tag elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from mirror.cli.printing import size
from mirror.records.sync_runs import TagOutcome

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from mirror.cli.terminal.output import Output

#: Columns of a terminal for bytes, rate, time left and a short bar.
_FIGURES_WIDTH = 48
_STYLES = {
    TagOutcome.COPIED: "green",
    TagOutcome.UNCHANGED: "dim",
    TagOutcome.SKIPPED: "yellow",
    TagOutcome.PLANNED: "yellow",
    TagOutcome.GONE: "yellow",
    TagOutcome.DROPPED: "yellow",
    TagOutcome.FAILED: "bold red",
}


class TagBars:
    """Progress of several tags. Bars are visible inside the ``with`` block if the console is a terminal.

    Implements :class:`mirror.transfer.progress_reporting.Reporter`.

    Args:
        console: the console to write to.
    """

    def __init__(self, console: Output) -> None:
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
    """Progress of one tag without a terminal: one line when the tag has ended.

    Implements :class:`mirror.transfer.progress_reporting.TagProgress`.
    """

    def __init__(self, console: Output, label: str) -> None:
        self._console = console
        self._label = label
        self._moved_bytes = 0
        self._begun = time.monotonic()

    def expect(self, total_bytes: int) -> None:
        """Ignore the expected size, because a line shows the moved bytes only."""

    def advance(self, size_bytes: int) -> None:
        self._moved_bytes += size_bytes

    def done(self, outcome: TagOutcome, reason: str = "") -> None:
        told = self._told(outcome, reason)
        self._console.out(f"{self._label} {outcome}{f' {told}' if told else ''}")

    def _told(self, outcome: TagOutcome, reason: str) -> str:
        if outcome is not TagOutcome.COPIED:
            return reason
        seconds = time.monotonic() - self._begun
        # A copy without bytes can end within the resolution of the clock.
        rate = size(int(self._moved_bytes / max(seconds, 1e-3)))
        return f"{size(self._moved_bytes)} in {seconds:.1f} s ({rate}/s){f', {reason}' if reason else ''}"


class TagBar(TagLine):
    """Progress of one tag on a terminal: a bar while bytes move, then a coloured line."""

    def __init__(self, console: Output, label: str, bars: Progress) -> None:
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

        # The line takes the place of the bar, and stays.
        self._bars.remove_task(self._task)
        told = self._told(outcome, reason)
        # Assembled and not marked up, because a label may contain brackets.
        ended = (outcome.value, _STYLES[outcome])
        self._console.console.print(Text.assemble(self._label, " ", ended, f" {told}" if told else ""))


def byte_bars(console: Output) -> Progress:
    """Return progress bars in bytes that disappear when they end."""
    drawn_on = console.console  # first, because it lets rich in
    # Imported here, because only a terminal needs it and every start would pay for it.
    from rich import progress
    from rich.table import Column
    from rich.text import Text

    class _Rate(progress.ProgressColumn):
        """The rate in the units of all sizes. That of rich has decimal units, beside binary ones for the bytes."""

        def render(self, task: progress.Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{size(int(speed))}/s", style="progress.data.speed")

    class _Bytes(progress.DownloadColumn):
        """The bytes, once it is known how many there are."""

        def render(self, task: progress.Task) -> Text:
            return Text("") if task.total is None else super().render(task)

    # A long label must not push bytes, rate and time left out of the line.
    label = Column(no_wrap=True, overflow="ellipsis", max_width=max(console.width - _FIGURES_WIDTH, 10))
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False, table_column=label),
        progress.BarColumn(),
        _Bytes(binary_units=True),
        _Rate(),
        progress.TimeRemainingColumn(),
        console=drawn_on,
        transient=True,
    )
