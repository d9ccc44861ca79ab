"""The catalog in PostgreSQL. All calls block.

psycopg works in the threads of the catalog, as SQLite does (ADR 13). A change locks the row of the table ``turn``
first: so there is one writer at a time over all programs that use the database, and a transaction never waits for a
second lock. No session keeps a state, so a pooler may lend a connection for one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text

from mirror.oci.errors import CatalogFault, ConfigurationFault
from mirror.store.catalog.catalog_loss import has_content
from mirror.store.catalog.databases.catalog_database import READERS
from mirror.store.catalog.databases.postgresql_dialect import use_for
from mirror.store.catalog.databases.postgresql_faults import database_fault
from mirror.store.content.data_layout import DataLayout

#: Time for a connection to be made.
_CONNECT_SECONDS: Final = 5
#: Time after which sent bytes that nobody confirmed end a connection.
_SILENCE_SECONDS: Final = 15
#: Time that a change waits for its turn, and that a transaction may do nothing.
_TURN_SECONDS: Final = 20
#: Connections of a process that change the catalog.
_WRITERS: Final = 1
_OLDEST_SERVER: Final = 130000
#: Any constant: the lock under which the first table is created.
_FIRST_TABLE: Final = 0x706C7567696E

_CREATE_TURN: Final = """
CREATE TABLE IF NOT EXISTS turn (id INTEGER PRIMARY KEY, changes BIGINT NOT NULL);
INSERT INTO turn VALUES (1, 0) ON CONFLICT DO NOTHING
"""
_TAKE_TURN: Final = f"""
SET LOCAL lock_timeout = '{_TURN_SECONDS}s';
SET LOCAL idle_in_transaction_session_timeout = '{_TURN_SECONDS}s';
SELECT changes FROM turn WHERE id = 1 FOR UPDATE
"""  # noqa: S608 - constants
_COUNT_CHANGE: Final = "UPDATE turn SET changes = changes + 1 WHERE id = 1"


@dataclass(frozen=True)
class PostgresqlAddress:
    """Address of a database.

    Attributes:
        url: the URL without a password.
        password_file: file with the password; None if libpq finds one, as in PGPASSFILE, or needs none.
    """

    url: URL
    password_file: Path | None = None

    @classmethod
    def parse(cls, url: str, password_file: Path | None = None) -> PostgresqlAddress:
        """Read a URL ``postgresql://USER@HOST/DATABASE``, which has no password."""
        return cls(make_url(url), password_file)

    @property
    def place(self) -> str:
        """The address for messages."""
        return self.url.set(drivername="postgresql", query={}).render_as_string()

    def password(self) -> str | None:
        """Return the password. It is read for each connection, so that a new one needs no restart. Raises OSError."""
        return None if self.password_file is None else self.password_file.read_text().partition("\n")[0].rstrip("\r")


class PostgresqlDatabase:
    """Implements :class:`mirror.store.catalog.databases.catalog_database.CatalogDatabase` in PostgreSQL.

    Args:
        layout: the data folder. It has the content.
        address: address of the database.
        processes: number of processes that use the database, each with its own connections.
    """

    def __init__(self, layout: DataLayout, address: PostgresqlAddress, *, processes: int = 1) -> None:
        self._layout = layout
        self._processes = processes
        self._address = address
        self.place = address.place
        self.reading = self._engine(READERS, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
        self.writing = self._engine(_WRITERS)
        event.listen(self.writing, "begin", _take_turn)

    @classmethod
    def at(cls, address: PostgresqlAddress, *, processes: int = 1) -> Callable[[DataLayout], PostgresqlDatabase]:
        """Return a function that opens the database at an address for a data folder."""
        return lambda layout: cls(layout, address, processes=processes)

    def make_ready(self) -> None:
        """Check the server, and create the row that gives turns."""
        with self.faults("open the catalog"), self.reading.connect() as connection:
            _require_server(connection, self.place)
            _require_connections(connection, self.place, self._processes)
            if connection.scalar(text("SELECT to_regclass('turn')")) is None:
                with transaction(connection):
                    # Two programs that create a table at the same time would fail at the same name.
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_FIRST_TABLE})")
                    connection.exec_driver_sql(_CREATE_TURN)

    @contextmanager
    def faults(self, doing: str) -> Iterator[None]:
        """Translate errors of the database in the block."""
        try:
            yield
        except Exception as error:
            fault = self.fault_of(error, doing)
            if fault is error:
                raise
            raise fault from error

    def fault_of(self, error: BaseException, doing: str) -> BaseException:
        """Translate an error of the database."""
        return database_fault(error, doing, self.place)

    def has_ended(self, connection: Connection) -> bool:
        """Return True if the connection is lost. Any other error leaves the transaction to its savepoint."""
        return connection.invalidated

    def count_change(self, connection: Connection) -> None:
        """Count a transaction."""
        connection.exec_driver_sql(_COUNT_CHANGE)

    def probe(self) -> None:
        """Check that the catalog can be read and written."""
        with self.faults("write the catalog"), self.reading.connect() as connection:
            if connection.scalar(text("SELECT pg_is_in_recovery()")):
                raise CatalogFault(
                    f"{self.place} is a standby and takes no changes; fix: name the primary in storage.catalog.url"
                )

    def require_no_content(self) -> None:
        """Check that the data folder has no content before tables are created."""
        if has_content(self._layout):
            raise CatalogFault(
                f"{self.place} has no tables, but the data folder {self._layout.root} has content; "
                "fix: name the database that has its catalog, or move the catalog there with 'plugin-mirror migrate'"
            )

    def copy(self, connection: Connection, revision: str) -> str:
        """Copy all tables to a schema of their own. Return its name."""
        schema = f"catalog_{revision}"
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        names = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"))
        for name in names.scalars().all():
            connection.exec_driver_sql(f'CREATE TABLE {schema}."{name}" (LIKE "{name}" INCLUDING ALL)')
            connection.exec_driver_sql(f'INSERT INTO {schema}."{name}" SELECT * FROM "{name}"')  # noqa: S608 - our names
        return f"schema {schema} of {self.place}"

    def way_back(self, revision: str) -> str:
        """Return the way back to an earlier version of the program, as a part of a sentence."""
        return f"; or restore a backup of {self.place}, and lose all later changes"

    def explained(self, fault: CatalogFault) -> CatalogFault:
        """Return the error for a catalog that cannot be opened."""
        return fault

    def close(self) -> None:
        """Close all connections."""
        self.reading.dispose()
        self.writing.dispose()

    def _engine(self, connections: int, **options: Any) -> Engine:
        engine = create_engine(
            self._address.url.set(drivername="postgresql+psycopg"),
            connect_args={
                "application_name": "plugin-mirror",
                "connect_timeout": _CONNECT_SECONDS,
                "keepalives_idle": _SILENCE_SECONDS,
                "tcp_user_timeout": _SILENCE_SECONDS * 1000,
                # A prepared statement lives in a session, and a pooler lends another one for the next transaction.
                "prepare_threshold": None,
            },
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
            **options,
        )
        use_for(engine)

        @event.listens_for(engine, "do_connect")
        def add_password(_dialect: object, _record: object, _arguments: object, keywords: dict[str, Any]) -> None:
            password = self._address.password()
            if password is not None:
                keywords["password"] = password

        return engine


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Run the block as one transaction of a connection in autocommit mode."""
    connection.exec_driver_sql("BEGIN")
    try:
        yield
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _take_turn(connection: Connection) -> None:
    connection.exec_driver_sql(_TAKE_TURN)


def _require_server(connection: Connection, place: str) -> None:
    version = int(connection.scalar(text("SHOW server_version_num")))
    if version < _OLDEST_SERVER:
        raise ConfigurationFault(
            f"{place} is PostgreSQL {version // 10000}; fix: use PostgreSQL {_OLDEST_SERVER // 10000} or later"
        )
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise ConfigurationFault(
            f"{place} has the encoding {encoding}; fix: create the database with ENCODING 'UTF8' TEMPLATE template0"
        )


def _require_connections(connection: Connection, place: str, processes: int) -> None:
    """Check that the server allows the connections of all processes. What other programs use is not counted."""
    statement = "SELECT current_setting('max_connections'), current_setting('superuser_reserved_connections')"
    most, reserved = map(int, connection.exec_driver_sql(statement).one())
    needed = processes * (READERS + _WRITERS)
    if needed > most - reserved:
        raise ConfigurationFault(
            f"{place} allows {most - reserved} connections, and {processes} processes need {needed}; "
            "fix: raise its max_connections, or lower server.workers"
        )
