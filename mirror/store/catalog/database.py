"""The catalog's database: connections that only read, and one that writes, in turn with all other processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
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
#: Readers that are busy with lists and reports: the others are there for what is read in a moment.
_LONG_READERS = 2
_BUSY_TIMEOUT_SECONDS = 20
#: What the database says of a file that it cannot make sense of.
_OF_DAMAGE = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


class Catalog:
    """The database. Made by :meth:`open`.

    What is read or written is a function that is given a connection, and is run as a whole in one thread: a hop for
    each statement would cost more than the statements do.

    Attributes:
        generation: its count of changes.
    """

    def __init__(self, reading: Engine, writing: Engine, generation: Generation, flush: Callable[[], None]) -> None:
        self.generation = generation
        self._reading = reading
        self._writing = writing
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="catalog-reader")
        self._long = FairScheduler(_LONG_READERS)
        self._writer = GroupCommitWriter(writing, generation, flush)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, layout: DataLayout, generation: Generation, flush: Callable[[], None] = lambda: None
    ) -> AsyncIterator[Catalog]:
        """Open the catalog; create it, or bring it up to date, where that is needed.

        Args:
            layout: of the data folder.
            generation: gives turns to write, and counts them.
            flush: makes the bytes last that rows speak of; called before each commit. May raise OSError.

        Raises:
            CatalogFault: it cannot be opened, is damaged or lost, or was made by a later version of this program.
            StorageFull: no space to create it, or to copy it before its tables are changed.
        """
        catalog = cls(_reading_engine(layout.catalog), _writing_engine(layout.catalog), generation, flush)
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
        """The number of transactions that this process has committed."""
        return self._writer.transactions

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Do ``work``, whose connection cannot write; each statement sees the catalog as it is at that moment.

        Raises:
            CatalogFault: the database could not do it. And what ``work`` raises.
        """
        return await ThreadFuture(self._readers.submit(self._read, work))

    async def read_long(self, work: Callable[[Connection], Result]) -> Result:
        """As :meth:`read`, for lists and reports: only some readers do those, and each client has its turn."""
        with self._long.work(CLIENT.get()) as long:
            async with long.turn():
                long.charge(1)
                return await self.read(work)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Do ``work`` as one transaction, durable when this returns, with no other writer in any process.

        Others of this process that wait at the same time are done in the same turn, and committed with it. Once begun
        it is done to its end, also where the caller is cancelled.

        Args:
            work: is given the connection; what it raises rolls back what it has done.

        Raises:
            StorageFull, CatalogFault: the database could not do it, and nothing is changed.
        """
        return await self._written(work, seen=True)

    async def write_uncached(self, work: Callable[[Connection], Result]) -> Result:
        """As :meth:`write`, for tables that nothing in memory is made of: what is cached is kept."""
        return await self._written(work, seen=False)

    def _read(self, work: Callable[[Connection], Result]) -> Result:
        with storage_faults("read the catalog"), self._reading.connect() as connection:
            return work(connection)

    async def _written(self, work: Callable[[Connection], Result], *, seen: bool) -> Result:
        change = self._writer.begin(work, seen=seen)
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
        _pragmas(connection, "query_only=ON")

    return engine


def _writing_engine(file: Path) -> Engine:
    engine = create_engine(
        _url(file),
        # The driver must not begin transactions of its own: they would be deferred, and fail when they first write.
        connect_args={"timeout": _BUSY_TIMEOUT_SECONDS, "isolation_level": None},
        pool_size=1,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
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
