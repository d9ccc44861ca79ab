"""Progress of a collection on a terminal: one line with the numbers so far."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from mirror.cli.printing import size
from mirror.records.lifecycle.reviews import DecidedReviews, FreedBytes

if TYPE_CHECKING:
    from mirror.cli.terminal.output import Output


class CollectionBar:
    """A line with the numbers so far, visible inside its ``with`` block if the console is a terminal.

    Implements :class:`mirror.lifecycle.collector.CollectionProgress`.

    Args:
        console: the console to write to.
    """

    def __init__(self, console: Output) -> None:
        self._status = console.status("looking for content that nothing needs") if console.is_terminal else None
        self._decided, self._freed = DecidedReviews(), FreedBytes()

    def __enter__(self) -> CollectionBar:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._status is not None:
            self._status.stop()

    def decided(self, result: DecidedReviews) -> None:
        self._decided += result
        self._show()

    def freed(self, result: FreedBytes) -> None:
        self._freed += result
        self._show()

    def _show(self) -> None:
        if self._status is not None:
            decided, freed = self._decided, self._freed
            self._status.update(
                f"{decided.decided} decided, {freed.files} files removed, {size(freed.size_bytes)} freed"
            )
