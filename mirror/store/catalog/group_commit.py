"""The one thread of a process that writes to the catalog. Changes that wait at the same time are committed together.

A commit syncs the disk and ends the caches of every process. Several changes together therefore cost as much as one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

from mirror.records.changes.actor import Actor
from mirror.store.catalog.change_rows import current_actor, work_for
from mirror.store.catalog.databases.catalog_database import CatalogDatabase
from mirror.store.catalog.generation import Generation

Result = TypeVar("Result")

#: Most changes in one turn. Other processes wait for the turn to end.
_MOST_AT_ONCE = 32


@dataclass(slots=True, eq=False)
class _Change:
    """A change that waits or is being made.

    Attributes:
        work: makes the change.
        seen: True if the change invalidates caches.
        actor: the person or program that makes the change; None to record no changes.
        outcome: the result or error of ``work``, set when the change is durable or has failed.
        result: the result of ``work`` before the commit.
        error: the error of ``work`` or of the commit.
    """

    work: Callable[[Connection], Any]
    seen: bool
    actor: Actor | None
    outcome: Future[Any] = field(default_factory=Future)
    result: Any = None
    error: BaseException | None = None

    def complete(self, database: CatalogDatabase) -> None:
        """Pass the outcome to the caller that waits for it."""
        if self.error is None:
            self.outcome.set_result(self.result)
        else:
            self.outcome.set_exception(database.fault_of(self.error, "write the catalog"))


class GroupCommitWriter:
    """Makes changes, each completely or not at all.

    Args:
        database: has the tables.
        generation: gives the process its turn.
        flush: makes the files durable that new rows refer to. Called before each commit. May raise OSError.
        keeps_changes: True to record who changes what, for the readers of changes.

    Attributes:
        transactions: number of committed changes.
        keeps_changes: True to record who makes the changes that begin from now on.
    """

    def __init__(
        self, database: CatalogDatabase, generation: Generation, flush: Callable[[], None], *, keeps_changes: bool
    ) -> None:
        self.transactions = 0
        self._database = database
        self._generation = generation
        self._flush = flush
        self.keeps_changes = keeps_changes
        self._waiting: deque[_Change] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog-writer")

    def begin(self, work: Callable[[Connection], Result], *, seen: bool) -> Future[Result]:
        """Queue a change. The returned future can be cancelled while the change waits for its turn.

        Args:
            work: makes the change in the writer's thread. An error that it raises rolls the change back.
            seen: True if the change invalidates caches.
        """
        change = _Change(work, seen, current_actor() if self.keeps_changes else None)
        self._waiting.append(change)
        self._thread.submit(self._take_turn)
        return change.outcome

    def close(self) -> None:
        """Stop the thread after all queued changes are done."""
        self._thread.shutdown()

    def _take_turn(self) -> None:
        if not self._waiting:
            return  # an earlier turn has made this change together with others
        changes: list[_Change] = []
        try:
            with self._generation.turn():
                changes = self._those_that_wait()
                if changes:
                    self._commit(changes)
        except BaseException as error:  # noqa: BLE001 - raised where the changes are awaited
            changes = changes or self._those_that_wait()
            for change in changes:
                change.error = change.error or error
        # Callers are answered only now: the change is durable, and other processes can have their turn.
        for change in changes:
            change.complete(self._database)

    def _those_that_wait(self) -> list[_Change]:
        changes: list[_Change] = []
        while self._waiting and len(changes) < _MOST_AT_ONCE:
            change = self._waiting.popleft()
            if change.outcome.set_running_or_notify_cancel():
                changes.append(change)
        return changes

    def _commit(self, changes: list[_Change]) -> None:
        """Make changes and commit them. An error of this method applies to all: nothing is changed, or nobody knows."""
        with self._database.writing.connect() as connection:
            if len(changes) == 1:  # needs no savepoint: a failure rolls the transaction back
                work_for(connection, changes[0].actor)
                changes[0].result = changes[0].work(connection)
            else:
                for change in changes:
                    self._make_beside_others(connection, change)
            # Names of files are durable before the rows that refer to them.
            self._flush()
            # The count is odd during the commit only, so that a long transaction does not keep readers from caches.
            made = [change for change in changes if change.error is None]
            is_seen = any(change.seen for change in made)
            if is_seen:
                self._database.count_change(connection)
            with self._generation.changing() if is_seen else nullcontext():
                connection.commit()
        self.transactions += len(made)

    def _make_beside_others(self, connection: Connection, change: _Change) -> None:
        """Make one of several changes of a transaction. If it fails, only this change is rolled back."""
        connection.exec_driver_sql("SAVEPOINT change")
        work_for(connection, change.actor)
        try:
            change.result = change.work(connection)
        except BaseException as error:
            change.error = error
            if self._database.has_ended(connection):
                raise
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT change")
        connection.exec_driver_sql("RELEASE SAVEPOINT change")
