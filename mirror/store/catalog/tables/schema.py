"""Metadata and types that the tables of the catalog share.

A change of a table needs a migration and a new :data:`mirror.store.catalog.tables.catalog_format.HEAD`. Names are
compared byte by byte (SQLite's BINARY collation), which is the ASCII order of lists.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, MetaData, Table, TypeDecorator
from sqlalchemy.schema import SchemaItem

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC, also in a database that stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


def keyed_table(name: str, *items: SchemaItem) -> Table:
    """Define a table that SQLite stores in the order of its primary key, without a row id."""
    return Table(name, metadata, *items, sqlite_with_rowid=False)
