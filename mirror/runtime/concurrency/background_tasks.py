"""Background tasks with an owner."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context
from types import TracebackType
from typing import Any, TypeVar

Given = TypeVar("Given")


class BackgroundTasks(asyncio.TaskGroup):
    """A task group that cancels its tasks when its block ends, instead of waiting for them."""

    def __init__(self) -> None:
        super().__init__()
        self._running: set[asyncio.Task[Any]] = set()

    def create_task(
        self,
        coro: Generator[Any, None, Given] | Coroutine[Any, Any, Given],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[Given]:
        """Create a task, as in any task group."""
        task = super().create_task(coro, name=name, context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        # An error of the block is not passed on to the task group, which would wrap the error in an exception group.
        await super().__aexit__(None, None, None)
