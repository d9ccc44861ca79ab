"""The database of the catalog: connections that only read, and one that writes in turn with all other processes."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event

from mirror.oci.errors import CatalogFault
from mirror.runtime.concurrency.fair_scheduler import FairScheduler
from mirror.runtime.concurrency.threads import ThreadFuture
from mirror.runtime.current_client import CLIENT
from mirror.store.catalog.catalog_loss import damaged
from mirror.store.catalog.generation import Generation
from mirror.store.catalog.group_commit import GroupCommitWriter
from mirror.store.catalog.migrate import migrate
from mirror.store.content.data_layout import DataLayout
from mirror.store.storage_errors import storage_faults
from mirror.store.storage_threads import in_thread

Result = TypeVar("Result")

_READERS = 4
#: Readers that may be busy with lists and reports. The others stay free for short reads.
_LONG_READERS = 2
_BUSY_TIMEOUT_SECONDS = 20
#: Shorter than the time that /readyz gives a check, so that the answer names the file.
_PROBE_TIMEOUT_SECONDS = 4
#: SQLite's error codes for a file that is damaged or not a database.
_OF_DAMAGE = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


class Catalog:
    """The database of the catalog. Made by :meth:`open`.

    A read or a change is a function of a connection, and one thread runs it as a whole. A hop into a thread for each
    statement would cost more than the statements do.

    Attributes:
        generation: the count of changes.
    """

    def __init__(
        self,
        file: Path,
        reading: Engine,
        writing: Engine,
        generation: Generation,
        flush: Callable[[], None],
        *,
        keeps_changes: bool,
    ) -> None:
        self._file = file
        self.generation = generation
        self._reading = reading
        self._writing = writing
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="catalog-reader")
        self._long = FairScheduler(_LONG_READERS)
        self._writer = GroupCommitWriter(file, writing, generation, flush, keeps_changes=keeps_changes)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        layout: DataLayout,
        generation: Generation,
        flush: Callable[[], None] = lambda: None,
        *,
        keeps_changes: bool = False,
    ) -> AsyncIterator[Catalog]:
        """Open the catalog. Create it, or update its tables, if needed.

        Args:
            layout: the data folder.
            generation: gives a writer its turn, and counts changes.
            flush: makes the files durable that new rows refer to. Called before each commit. May raise OSError.
            keeps_changes: True to record who changes what, for the readers of changes.

        Raises:
            CatalogFault: the catalog cannot be opened, is damaged or lost, or was made by a later program version.
            StorageFull: the disk has no space to create the catalog, or to copy it before its tables are changed.
        """
        file = layout.catalog
        catalog = cls(
            file, _reading_engine(file), _writing_engine(file), generation, flush, keeps_changes=keeps_changes
        )
        try:
            try:
                await catalog.write(lambda connection: migrate(connection, layout))
            except CatalogFault as error:
                if error.detail.get("code") in _OF_DAMAGE:
                    raise damaged(layout, error) from error
                raise
            yield catalog
        finally:
            await in_thread("close the catalog", catalog._close)

    @property
    def transactions(self) -> int:
        """The number of changes that this process has committed."""
        return self._writer.transactions

    def keep_changes(self, *, wanted: bool) -> None:
        """Record from now on who changes what, or no longer."""
        self._writer.keeps_changes = wanted

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run ``work`` with a read-only connection. Each statement sees the catalog as it is at that moment.

        Raises:
            CatalogFault: the database failed.
            Exception: any error of ``work``.
        """
        return await ThreadFuture(self._readers.submit(self._read, work))

    async def read_long(self, work: Callable[[Connection], Result]) -> Result:
        """Run ``work`` as :meth:`read` does, for lists and reports. They share two readers, and clients take turns."""
        with self._long.work(CLIENT.get()) as long:
            async with long.turn():
                long.charge(1)
                return await self.read(work)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run ``work`` as one transaction. No other writer in any process runs meanwhile.

        The change is durable when this returns. Changes of this process that wait at the same time share a turn and a
        commit. A change that has begun is completed even if the caller is cancelled.

        Args:
            work: makes the change with the connection. An error that it raises rolls the change back.

        Raises:
            StorageFull, CatalogFault: the database failed, and nothing is changed.
            Exception: any error of ``work``.
        """
        return await self._written(work, seen=True)

    async def write_uncached(self, work: Callable[[Connection], Result]) -> Result:
        """Run ``work`` as :meth:`write` does, for tables of which nothing is cached. Caches stay valid."""
        return await self._written(work, seen=False)

    async def probe(self) -> None:
        """Check that the catalog can be read and written. Changes nothing.

        Raises:
            StorageFault: the catalog cannot be used, or another process keeps it locked. The message names the file.
        """
        await in_thread("use the catalog", self._probe)

    def _probe(self) -> None:
        # A connection of its own: the others keep a file open that the system may refuse to open now.
        with (
            storage_faults("write the catalog", self._file),
            closing(sqlite3.connect(self._file, timeout=_PROBE_TIMEOUT_SECONDS, isolation_level=None)) as probe,
        ):
            probe.execute("BEGIN IMMEDIATE")
            probe.execute("ROLLBACK")

    def _read(self, work: Callable[[Connection], Result]) -> Result:
        with storage_faults("read the catalog", self._file), self._reading.connect() as connection:
            return work(connection)

    async def _written(self, work: Callable[[Connection], Result], *, seen: bool) -> Result:
        change = self._writer.begin(work, seen=seen)
        # A change that still waits for its turn can be cancelled, and then is not made.
        return await ThreadFuture(change, withdraw=change.cancel)

    def _close(self) -> None:
        self._writer.close()
        self._readers.shutdown()
        self._reading.dispose()
        self._writing.dispose()


def _reading_engine(file: Path) -> Engine:
    engine = create_engine(
        _url(file),
        connect_args={"timeout": _BUSY_TIMEOUT_SECONDS},
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
        pool_size=_READERS,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # A read that writes by mistake would not wait for its turn, nor move the generation.
        _pragmas(connection, "query_only=ON")

    return engine


def _writing_engine(file: Path) -> Engine:
    engine = create_engine(
        _url(file),
        # The driver must not begin transactions itself: they would be deferred, and fail at their first write.
        connect_args={"timeout": _BUSY_TIMEOUT_SECONDS, "isolation_level": None},
        pool_size=1,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # In WAL mode only synchronous=FULL syncs the log at each commit, so that an acknowledged change is durable.
        _pragmas(connection, "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _url(file: Path) -> URL:
    return URL.create("sqlite", database=str(file))


def _pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
