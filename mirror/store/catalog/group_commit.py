"""The one thread of a process that writes to the catalog. Changes that wait at the same time are committed together.

A commit is a sync of the disk, and ends what every process keeps in memory of the catalog: several changes together
cost what one of them does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from mirror.store.catalog.generation import Generation
from mirror.store.storage_errors import fault_of

Result = TypeVar("Result")

#: Changes in one turn, at most: other processes wait meanwhile.
_MOST_AT_ONCE = 32


@dataclass(slots=True, eq=False)
class _Change:
    """A change that waits, or is being made.

    Attributes:
        work: makes it.
        seen: whether it ends what is kept in memory.
        outcome: what ``work`` gave or raised, when it is sure that it lasts.
        result, error: the same, before that.
    """

    work: Callable[[Connection], Any]
    seen: bool
    outcome: Future[Any] = field(default_factory=Future)
    result: Any = None
    error: BaseException | None = None

    def complete(self) -> None:
        """Give the outcome to the caller that waits for it."""
        if self.error is None:
            self.outcome.set_result(self.result)
        else:
            self.outcome.set_exception(fault_of(self.error, "write the catalog"))


class GroupCommitWriter:
    """Makes changes, each wholly or not at all.

    Args:
        engine: its connections begin transactions that write.
        generation: gives turns.
        flush: makes last what the rows speak of; called before each commit. May raise OSError.

    Attributes:
        transactions: changes that were committed.
    """

    def __init__(self, engine: Engine, generation: Generation, flush: Callable[[], None]) -> None:
        self.transactions = 0
        self._engine = engine
        self._generation = generation
        self._flush = flush
        self._waiting: deque[_Change] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog-writer")

    def begin(self, work: Callable[[Connection], Result], *, seen: bool) -> Future[Result]:
        """Have a change made; it can be cancelled as long as it waits for its turn.

        Args:
            work: is given the connection, in the writer's thread; what it raises undoes what it has done.
            seen: whether caches are made of what it changes.
        """
        change = _Change(work, seen)
        self._waiting.append(change)
        self._thread.submit(self._take_turn)
        return change.outcome

    def close(self) -> None:
        """End the thread, when all is done."""
        self._thread.shutdown()

    def _take_turn(self) -> None:
        if not self._waiting:
            return  # it was made in an earlier turn, together with others
        changes: list[_Change] = []
        try:
            with self._generation.turn():
                changes = self._those_that_wait()
                if changes:
                    self._commit(changes)
        except BaseException as error:  # noqa: BLE001 - it is raised where the changes are awaited
            changes = changes or self._those_that_wait()
            for change in changes:
                change.error = change.error or error
        for change in changes:
            change.complete()

    def _those_that_wait(self) -> list[_Change]:
        changes: list[_Change] = []
        while self._waiting and len(changes) < _MOST_AT_ONCE:
            change = self._waiting.popleft()
            if change.outcome.set_running_or_notify_cancel():
                changes.append(change)
        return changes

    def _commit(self, changes: list[_Change]) -> None:
        """Make changes durable. What this raises is true of all of them: nothing is changed, or nobody knows."""
        with self._engine.connect() as connection:
            if len(changes) == 1:
                changes[0].result = changes[0].work(connection)
            else:
                for change in changes:
                    _make_beside_others(connection, change)
            self._flush()
            made = [change for change in changes if change.error is None]
            with self._generation.changing() if any(change.seen for change in made) else nullcontext():
                connection.commit()
        self.transactions += len(made)


def _make_beside_others(connection: Connection, change: _Change) -> None:
    """Make a change in a transaction that has others; where it fails it is undone, and they are not."""
    connection.exec_driver_sql("SAVEPOINT change")
    try:
        change.result = change.work(connection)
    except BaseException as error:
        change.error = error
        if not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]  # SQLite's has it
            raise  # the database has undone all of it, as it does when the disk is full
        connection.exec_driver_sql("ROLLBACK TO change")
    connection.exec_driver_sql("RELEASE change")
