"""Crashes of a store: a task that is cancelled at one of its awaits, and a process that ends at one of its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from mirror.store.content.filesystem import Filesystem
from mirror.store.registry import Store
from tests.unit.store.disks import WatchedFilesystem


class Died(Exception):
    """The process has ended. Nothing it does any more has an effect."""


class CutShort:
    """Awaits a coroutine, and cancels the running task at the n-th time that it waits for something.

    Args:
        work: the coroutine.
        waits: number of times that it may wait; 0 to cancel it when it first waits.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], waits: int) -> None:
        self._work = work
        self._waits = waits

    def __await__(self) -> Generator[Any, Any, Any]:
        """Run the coroutine."""
        running = self._work.__await__()
        step, given = running.send, None
        while True:
            try:
                awaited = step(given)
            except StopIteration as end:
                return end.value
            if self._waits == 0:
                asyncio.current_task().cancel()
            self._waits -= 1
            try:
                step, given = running.send, (yield awaited)
            except BaseException as error:  # noqa: BLE001 - passed on to where the coroutine waits
                step, given = running.throw, error


class Death:
    """The end of a process, after some more calls that change files or the catalog."""

    def __init__(self) -> None:
        self._left: int | None = None

    def comes_after(self, calls: int) -> None:
        """Let some more calls succeed."""
        self._left = calls

    def call(self, *_: object) -> None:
        """Count a call. Raises Died."""
        if self._left is None:
            return
        if self._left <= 0:
            raise Died
        self._left -= 1

    def watches(self, filesystem: WatchedFilesystem) -> Filesystem:
        """Return the filesystem, whose calls count."""
        filesystem.fault = self.call
        return filesystem

    def attend(self, store: Store) -> None:
        """Count the changes of the catalog: before each, before its commit, and after it."""
        catalog = store.services.catalog
        for name in ("write", "write_uncached"):
            setattr(catalog, name, self._counted(getattr(catalog, name)))
        writer, flush = catalog._writer, catalog._writer._flush

        def flush_or_die() -> None:
            self.call()
            flush()
            self.call()

        writer._flush = flush_or_die

    def _counted(self, write: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def counted(work: Callable[[Any], Any]) -> Any:
            self.call()
            result = await write(work)
            self.call()
            return result

        return counted
