"""Catalogs of new data folders, made from the statements of the first one: eight times as fast as all migrations."""

from __future__ import annotations

import sqlite3

from sqlalchemy import Connection, text

from mirror.store.catalog import database
from mirror.store.catalog.databases.catalog_database import CatalogDatabase
from mirror.store.catalog.migrate import migrate

_STATEMENTS: list[str] = []


def make_quickly() -> None:
    """Let the stores of this process make new catalogs quickly. Existing catalogs are migrated as ever."""
    database.migrate = _migrate  # type: ignore[attr-defined]


def _migrate(connection: Connection, opened: CatalogDatabase) -> None:
    if connection.dialect.name != "sqlite":
        migrate(connection, opened)
        return
    is_new = not connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar_one()
    if not is_new or not _STATEMENTS:
        migrate(connection, opened)
        if is_new:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            _STATEMENTS[:] = [each for each in driver.iterdump() if each not in {"BEGIN TRANSACTION;", "COMMIT;"}]
        return
    opened.require_no_content()
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement)
