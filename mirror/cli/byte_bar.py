"""One bar for one piece of work on files: how many of its bytes are done."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from mirror.cli.progress_bars import byte_bars

if TYPE_CHECKING:
    from rich.console import Console


class ByteBar:
    """A progress bar on a terminal, shown inside the ``with``; any thread may advance it.

    Implements :class:`mirror.transfer.progress_reporting.Progress`.

    Args:
        console: where to.
        label: what is worked on.
    """

    def __init__(self, console: Console, label: str) -> None:
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
            self._total_bytes += total_bytes
            self._bars.update(self._task, total=self._total_bytes)

    def advance(self, size_bytes: int) -> None:
        if self._bars is not None:
            self._bars.advance(self._task, size_bytes)
