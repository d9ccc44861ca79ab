"""Databases for stores of tests."""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path

from mirror.store.catalog.databases.postgresql_database import PostgresqlAddress, PostgresqlDatabase
from mirror.store.catalog.migrate import migrate
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from tests.harness.postgresql import Postgresql, missing
from tests.harness.requirement import require


def new_postgresql() -> PostgresqlAddress:
    """Create a database with the tables of this version, and return its address."""
    return PostgresqlAddress.parse(postgresql_server().new_database(template=_with_tables()))


def use_postgresql() -> None:
    """Let the stores of this process have their catalogs in PostgreSQL, one database for each data folder."""
    addresses: dict[Path, PostgresqlAddress] = {}

    def database(layout: DataLayout) -> PostgresqlDatabase:
        if layout.root not in addresses:
            addresses[layout.root] = new_postgresql()
        return PostgresqlDatabase(layout, addresses[layout.root])

    Store.open.__wrapped__.__kwdefaults__["database"] = database  # type: ignore[attr-defined]


@cache
def _with_tables() -> str:
    """Create a database with empty tables, of which copies are made quickly, and return its name."""
    address = PostgresqlAddress.parse(postgresql_server().new_database())
    database = PostgresqlDatabase(DataLayout(Path("/nonexistent")), address)
    database.make_ready()
    with database.writing.begin() as connection:
        migrate(connection, database)
    database.close()
    assert address.url.database is not None
    return address.url.database


@cache
def postgresql_server() -> Postgresql:
    """Return the PostgreSQL of this test process, which runs until the process ends."""
    require(missing())
    server = Postgresql()
    server.__enter__()
    atexit.register(server.__exit__, None, None, None)
    return server
