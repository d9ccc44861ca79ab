"""The catalog: threads that read it, and one that writes in turn with all other processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import Connection

from mirror.oci.errors import CatalogFault
from mirror.runtime.concurrency.fair_scheduler import FairScheduler
from mirror.runtime.concurrency.threads import ThreadFuture
from mirror.runtime.current_client import CLIENT
from mirror.store.catalog.databases.catalog_database import READERS, CatalogDatabase
from mirror.store.catalog.generation import Generation
from mirror.store.catalog.group_commit import GroupCommitWriter
from mirror.store.catalog.migrate import migrate
from mirror.store.storage_threads import in_thread

Result = TypeVar("Result")

#: Readers that may be busy with lists and reports. The others stay free for short reads.
_LONG_READERS = 2


class Catalog:
    """The database of the catalog. Made by :meth:`open`.

    A read or a change is a function of a connection, and one thread runs it as a whole. A hop into a thread for each
    statement would cost more than the statements do.

    Attributes:
        generation: the count of changes.
        database: has the tables.
    """

    def __init__(
        self,
        database: CatalogDatabase,
        generation: Generation,
        flush: Callable[[], None],
        *,
        keeps_changes: bool,
    ) -> None:
        self.generation = generation
        self.database = database
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="catalog-reader")
        self._long = FairScheduler(_LONG_READERS)
        self._writer = GroupCommitWriter(database, generation, flush, keeps_changes=keeps_changes)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        database: CatalogDatabase,
        generation: Generation,
        flush: Callable[[], None] = lambda: None,
        *,
        keeps_changes: bool = False,
    ) -> AsyncIterator[Catalog]:
        """Open the catalog. Create it, or update its tables, if needed.

        Args:
            database: has the tables. It is closed at the end.
            generation: gives a writer its turn, and counts changes.
            flush: makes the files durable that new rows refer to. Called before each commit. May raise OSError.
            keeps_changes: True to record who changes what, for the readers of changes.

        Raises:
            CatalogFault: the catalog cannot be opened, is damaged or lost, or was made by a later program version.
            StorageFull: the disk has no space to create the catalog, or to copy it before its tables are changed.
        """
        catalog = cls(database, generation, flush, keeps_changes=keeps_changes)
        try:
            try:
                await catalog.write(lambda connection: migrate(connection, database))
            except CatalogFault as error:
                raise database.explained(error) from error
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
        await in_thread("use the catalog", self.database.probe)

    def _read(self, work: Callable[[Connection], Result]) -> Result:
        with self.database.faults("read the catalog"), self.database.reading.connect() as connection:
            return work(connection)

    async def _written(self, work: Callable[[Connection], Result], *, seen: bool) -> Result:
        change = self._writer.begin(work, seen=seen)
        # A change that still waits for its turn can be cancelled, and then is not made.
        return await ThreadFuture(change, withdraw=change.cancel)

    def _close(self) -> None:
        self._writer.close()
        self._readers.shutdown()
        self.database.close()
