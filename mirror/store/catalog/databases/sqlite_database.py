"""The catalog in a file of SQLite, for all processes of one machine."""

from __future__ import annotations

import os
import sqlite3
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from mirror.oci.errors import CatalogFault
from mirror.runtime.files import private_files
from mirror.store.catalog.catalog_copy import copy_catalog
from mirror.store.catalog.catalog_loss import damaged, require_catalog, require_no_content
from mirror.store.catalog.databases.catalog_database import READERS
from mirror.store.content.data_layout import DataLayout
from mirror.store.storage_errors import fault_of, storage_faults

_BUSY_TIMEOUT_SECONDS = 20
#: Shorter than the time that /readyz gives a check, so that the answer names the file.
_PROBE_TIMEOUT_SECONDS = 4
#: SQLite's error codes for a file that is damaged or not a database.
_OF_DAMAGE = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


class SqliteDatabase:
    """Implements :class:`mirror.store.catalog.databases.catalog_database.CatalogDatabase` in a data folder."""

    def __init__(self, layout: DataLayout) -> None:
        self._layout = layout
        self._file = layout.catalog
        self.place = str(layout.state)
        self.reading = _reading_engine(self._file)
        self.writing = file_engine(self._file)

    def make_ready(self) -> None:
        """Check that no catalog is lost, and create the file of a new one."""
        require_catalog(self._layout)
        with suppress(FileExistsError):  # SQLite gives -wal and -shm the rights of this file
            os.close(private_files.open_file(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL))

    def faults(self, doing: str) -> AbstractContextManager[None]:
        """Translate errors of the database in the block."""
        return storage_faults(doing, self._file)

    def fault_of(self, error: BaseException, doing: str) -> BaseException:
        """Translate an error of the database."""
        return fault_of(error, doing, self._file)

    def has_ended(self, connection: Connection) -> bool:
        """Return True if SQLite has rolled back the transaction, as it does when the disk is full."""
        opened = connection.connection.driver_connection
        assert isinstance(opened, sqlite3.Connection)  # noqa: S101 - for the type checker
        return not opened.in_transaction

    def count_change(self, connection: Connection) -> None:
        """Do nothing: processes of one machine share the count of the generation."""

    def probe(self) -> None:
        """Check that the catalog can be read and written."""
        # A connection of its own: the others keep a file open that the system may refuse to open now.
        with (
            self.faults("write the catalog"),
            closing(sqlite3.connect(self._file, timeout=_PROBE_TIMEOUT_SECONDS, isolation_level=None)) as probe,
        ):
            probe.execute("BEGIN IMMEDIATE")
            probe.execute("ROLLBACK")

    def require_no_content(self) -> None:
        """Check that there is no content before the tables are created."""
        require_no_content(self._layout)

    def copy(self, connection: Connection, revision: str) -> str:
        """Copy the file of the catalog."""
        return str(copy_catalog(self._layout, revision))

    def way_back(self, revision: str) -> str:
        """Name the copy that was made before an update, if there is one."""
        copy = self._layout.catalog_copy(revision)
        if not copy.exists():
            return ""
        return f"; or restore {copy}, the copy made before the update, and lose all later changes"

    def explained(self, fault: CatalogFault) -> CatalogFault:
        """Return the fault of a damaged catalog with ways to get it back."""
        return damaged(self._layout, fault) if fault.detail.get("code") in _OF_DAMAGE else fault

    def close(self) -> None:
        """Close all connections."""
        self.reading.dispose()
        self.writing.dispose()


def _reading_engine(file: Path) -> Engine:
    engine = create_engine(
        _url(file),
        connect_args={"timeout": _BUSY_TIMEOUT_SECONDS},
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
        pool_size=READERS,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # A read that writes by mistake would not wait for its turn, nor move the generation.
        _pragmas(connection, "query_only=ON")

    return engine


def file_engine(file: Path) -> Engine:
    """Return an engine whose transactions change a file of SQLite, each durably."""
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
