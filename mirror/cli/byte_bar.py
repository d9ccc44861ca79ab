"""One progress bar for one piece of work on files, measured in bytes."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from mirror.cli.progress_bars import byte_bars

if TYPE_CHECKING:
    from mirror.cli.terminal.output import Output


class ByteBar:
    """A progress bar on a terminal, visible inside its ``with`` block. Any thread may advance the bar.

    Nothing is shown if the console is not a terminal. Implements :class:`mirror.transfer.progress_reporting.Progress`.

    Args:
        console: the console to write to.
        label: the text in front of the bar.
    """

    def __init__(self, console: Output, label: str) -> None:
        self._bars = byte_bars(console) if console.is_terminal else None
        self._label = label
        self._total_bytes = 0

    def __enter__(self) -> ByteBar:
        if self._bars is not None:
            self._task = self._bars.add_task(self._label, total=None)
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def expect(self, total_bytes: int) -> None:
        if self._bars is not None:
            # Work may have several stages, such as unpacking an image and packing its files. Each expects its bytes.
            self._total_bytes += total_bytes
            self._bars.update(self._task, total=self._total_bytes)

    def advance(self, size_bytes: int) -> None:
        if self._bars is not None:
            self._bars.advance(self._task, size_bytes)
