"""Catalogs of new data folders, made from the statements of the first one: eight times as fast as all migrations."""

from __future__ import annotations

import sqlite3

from sqlalchemy import Connection, text

from mirror.store.catalog import database
from mirror.store.catalog.catalog_loss import require_no_content
from mirror.store.catalog.migrate import migrate
from mirror.store.content.data_layout import DataLayout

_STATEMENTS: list[str] = []


def make_quickly() -> None:
    """Let the stores of this process make new catalogs quickly. Existing catalogs are migrated as ever."""
    database.migrate = _migrate  # type: ignore[attr-defined]


def _migrate(connection: Connection, layout: DataLayout) -> None:
    is_new = not connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar_one()
    if not is_new or not _STATEMENTS:
        migrate(connection, layout)
        if is_new:
            opened = connection.connection.driver_connection
            assert isinstance(opened, sqlite3.Connection)
            _STATEMENTS[:] = [each for each in opened.iterdump() if each not in {"BEGIN TRANSACTION;", "COMMIT;"}]
        return
    require_no_content(layout)
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement)
