"""One bar for one piece of work on files: how many of its bytes are done."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console

from mirror.cli.progress import byte_bars


class ByteBar:
    """Shown on a terminal, inside the ``with``. Implements :class:`mirror.transfer.progress.Progress`, for any thread.

    Args:
        console: where to.
        label: what is worked on.
    """

    def __init__(self, console: Console, label: str) -> None:
        self._bar = byte_bars(console)
        self._task = self._bar.add_task(label, total=None)
        self._total_bytes = 0

    def __enter__(self) -> ByteBar:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def expect(self, total_bytes: int) -> None:
        self._total_bytes += total_bytes
        self._bar.update(self._task, total=self._total_bytes)

    def advance(self, size_bytes: int) -> None:
        self._bar.advance(self._task, size_bytes)
