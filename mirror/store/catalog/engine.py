"""The catalog's database: connections that only read, and one that writes, in turn with all other processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from mirror.store.catalog.migrate import migrate
from mirror.store.faults import storage_faults
from mirror.store.generation import Generation
from mirror.store.threads import to_the_end

Result = TypeVar("Result")

_READERS = 4
_BUSY_TIMEOUT_SECONDS = 20


class Catalog:
    """The database. Made by :meth:`open`.

    Attributes:
        generation: its count of changes.
        transactions: how many this process has committed.
    """

    def __init__(self, reading: AsyncEngine, writing: AsyncEngine, generation: Generation) -> None:
        self._reading = reading
        self._writing = writing
        self.generation = generation
        self.transactions = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, file: Path, generation: Generation) -> AsyncIterator[Catalog]:
        """Open the catalog; create it, or bring it up to date, where that is needed.

        Raises:
            CatalogFault: it cannot be opened, is damaged, or was made by a later version of this program.
            StorageFull: no space to create it.
        """
        writing, reading = _writing_engine(file), _reading_engine(file)
        try:
            catalog = cls(reading, writing, generation)
            await catalog.write(migrate)
            yield catalog
        finally:
            await to_the_end(_dispose(reading, writing))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that cannot write; each statement sees the catalog as it is at that moment."""
        with storage_faults("read the catalog"):
            async with self._reading.connect() as connection:
                yield connection

    async def write(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Do ``work`` as one transaction, durable when this returns, with no other writer in any process.

        Once begun it is done to its end, also where the caller is cancelled.

        Args:
            work: is given the connection; what it raises rolls the transaction back.

        Raises:
            StorageFull, CatalogFault: the database could not do it, and nothing is changed.
        """
        async with self.generation.turn():
            return await to_the_end(self._transaction(work, self.generation.changing))

    async def write_aside(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """As :meth:`write`, for tables that nothing in memory is made of: what is cached is kept."""
        async with self.generation.turn():
            return await to_the_end(self._transaction(work, nullcontext))

    async def _transaction(
        self,
        work: Callable[[AsyncConnection], Awaitable[Result]],
        changing: Callable[[], AbstractContextManager[None]],
    ) -> Result:
        with storage_faults("write the catalog"):
            async with self._writing.connect() as connection:
                result = await work(connection)
                with changing():
                    await connection.commit()
                self.transactions += 1
                return result


async def _dispose(*engines: AsyncEngine) -> None:
    for engine in engines:
        await engine.dispose()


def _reading_engine(file: Path) -> AsyncEngine:
    engine = create_async_engine(
        _url(file),
        connect_args={"timeout": _BUSY_TIMEOUT_SECONDS},
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
        pool_size=_READERS,
        max_overflow=0,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        _pragmas(connection, "query_only=ON")

    return engine


def _writing_engine(file: Path) -> AsyncEngine:
    engine = create_async_engine(
        _url(file),
        # The driver must not begin transactions of its own: they would be deferred, and fail when they first write.
        connect_args={"timeout": _BUSY_TIMEOUT_SECONDS, "isolation_level": None},
        pool_size=1,
        max_overflow=0,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        _pragmas(connection, "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _url(file: Path) -> URL:
    return URL.create("sqlite+aiosqlite", database=str(file))


def _pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
