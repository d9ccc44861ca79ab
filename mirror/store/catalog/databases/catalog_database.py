"""Port to the database that has the tables of the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from sqlalchemy import Connection, Engine

from mirror.oci.errors import CatalogFault

#: Connections of a process that only read.
READERS: Final = 4


class CatalogDatabase(Protocol):
    """A database. All calls block.

    Attributes:
        reading: makes connections that only read. Each statement sees the catalog as it is at that moment.
        writing: makes connections whose transactions change the catalog, one after the other over all processes.
        place: folder or address of the database, for messages.
    """

    @property
    def reading(self) -> Engine: ...
    @property
    def writing(self) -> Engine: ...
    @property
    def place(self) -> str: ...

    def make_ready(self) -> None:
        """Check, before the first change, that the database can be used, and that no catalog is lost.

        Raises:
            CatalogFault: there is content, and its catalog is missing, empty or not a catalog.
            OSError: the data folder cannot be read.
        """
        ...

    def faults(self, doing: str) -> AbstractContextManager[None]:
        """Translate errors of the database in the block. ``doing`` is the action for messages, as "read the catalog".

        Raises:
            StorageFull: the disk of the database has no space.
            CatalogFault: the database failed for another reason.
        """
        ...

    def fault_of(self, error: BaseException, doing: str) -> BaseException:
        """Translate an error as :meth:`faults` does. Return an error of another kind unchanged."""
        ...

    def has_ended(self, connection: Connection) -> bool:
        """Return True if an error has ended the whole transaction of a connection."""
        ...

    def count_change(self, connection: Connection) -> None:
        """Count a transaction that caches must notice, as its last statement."""
        ...

    def probe(self) -> None:
        """Check that the catalog can be read and written. Changes nothing. Raises the errors of :meth:`faults`."""
        ...

    def require_no_content(self) -> None:
        """Check that there is no content before the tables are created.

        Raises:
            CatalogFault: there is content.
            OSError: the data folder cannot be searched for content.
        """
        ...

    def copy(self, connection: Connection, revision: str) -> str:
        """Copy the catalog before its tables are changed, in the turn of a change. Return the place of the copy.

        Raises:
            StorageFull: there is no space for the copy.
            CatalogFault, OSError: the catalog cannot be copied.
        """
        ...

    def way_back(self, revision: str) -> str:
        """Return what else a user can do whose catalog is later than a revision, as the end of a sentence."""
        ...

    def explained(self, fault: CatalogFault) -> CatalogFault:
        """Return the error for a catalog that cannot be opened, with a fix that fits."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """Let all statements of the block see the catalog at one moment. Only in :meth:`Catalog.read`."""
    # In SQLite, a snapshot is what any transaction sees.
    isolation = " ISOLATION LEVEL REPEATABLE READ" if connection.dialect.name == "postgresql" else ""
    connection.exec_driver_sql(f"BEGIN{isolation}")
    try:
        yield
    finally:
        connection.exec_driver_sql("ROLLBACK")
