"""Copies all tables of the catalog from one database to another. All calls block."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    inspect,
    select,
    text,
)

from mirror.store.catalog import tables
from mirror.store.catalog.tables.content_tables import finished_work, manifest_children
from mirror.store.catalog.tables.schema import metadata

_ROWS_AT_ONCE: Final = 1000


def copy_tables(source: Engine, target: Connection) -> int:
    """Copy all rows, as they are at one moment, into a new catalog of the same revision. Return their number.

    Args:
        source: engine of the database that is read.
        target: connection of a transaction that changes the other one.
    """
    number = 0
    with _reading(source) as reading:
        # A new catalog knows that it has no work of an earlier version to finish. A trigger of SQLite adds children to
        # manifests that come before them.
        target.execute(delete(finished_work))
        for table in [*(each for each in all_tables() if each is not manifest_children), manifest_children]:
            if table is manifest_children:
                target.execute(delete(table))
            number += _copy(reading, target, table)
            if (column := counted_key(table)) is not None:
                _set_last_number(target, column, _last_number(reading, column))
    return number


def has_rows(connection: Connection) -> bool:
    """Return True if a database has tables of the catalog with rows. Those of a new catalog count as none."""
    there = set(inspect(connection).get_table_names())
    return any(
        connection.scalar(select(exists().select_from(table)))
        for table in all_tables()
        if table.name in there and table is not finished_work
    )


def count_rows(connection: Connection) -> dict[str, int]:
    """Return the number of rows of each table."""
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in all_tables()
    }


def all_tables() -> list[Table]:
    """Return the tables of the catalog, each after those that it refers to."""
    for module in pkgutil.iter_modules(tables.__path__, f"{tables.__name__}."):
        importlib.import_module(module.name)
    return metadata.sorted_tables


def counted_key(table: Table) -> Column[Any] | None:
    """Return the key of a table that the database counts, or None."""
    return table.autoincrement_column


@contextmanager
def _reading(source: Engine) -> Iterator[Connection]:
    """Yield a connection that sees the database at one moment, and reads large tables in parts."""
    if source.dialect.name == "postgresql":
        with source.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            yield connection
        return
    with source.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        try:
            yield connection
        finally:
            connection.exec_driver_sql("ROLLBACK")


def _copy(source: Connection, target: Connection, table: Table) -> int:
    number = 0
    found = source.execution_options(yield_per=_ROWS_AT_ONCE).execute(select(table))
    # A value in JSON that is absent stays absent, and does not become a null in JSON.
    values = {
        column.name: bindparam(f"{column.name}_", type_=JSON(none_as_null=True))
        for column in table.columns
        if isinstance(column.type, JSON)
    }
    statement = insert(table).values(values) if values else insert(table)
    names = [f"{column.name}_" if column.name in values else column.name for column in table.columns]
    for part in found.partitions():
        target.execute(statement, [dict(zip(names, row, strict=True)) for row in part])
        number += len(part)
    return number


def _last_number(source: Connection, key: Column[Any]) -> int:
    """Return the last number that a key has had. It is not used again, also if its row is gone."""
    table = key.table.name
    if source.dialect.name == "postgresql":
        sequence = source.scalar(text("SELECT pg_get_serial_sequence(:table, :key)"), {"table": table, "key": key.name})
        row = source.exec_driver_sql(f"SELECT last_value, is_called FROM {sequence}").one()  # noqa: S608 - our name
        return int(row.last_value) if row.is_called else 0
    found = source.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = :table"), {"table": table})
    largest = source.exec_driver_sql(f"SELECT max({key.name}) FROM {table}").scalar()  # noqa: S608 - names of ours
    return max(found or 0, largest or 0)


def _set_last_number(target: Connection, key: Column[Any], number: int) -> None:
    if not number:
        return
    table = key.table.name
    if target.dialect.name == "postgresql":
        target.execute(
            text("SELECT setval(pg_get_serial_sequence(:table, :key), :number)"),
            {"table": table, "key": key.name, "number": number},
        )
    elif key.table.dialect_options["sqlite"]["autoincrement"]:
        target.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), {"table": table})
        target.execute(
            text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :number)"),
            {"table": table, "number": number},
        )
