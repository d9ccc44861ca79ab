"""Tables of changes that wait for their readers: the audit, and other systems."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Integer, String, Table

from mirror.store.catalog.tables.schema import UtcDateTime, keyed_table, metadata

#: Changes, in their order. ``content`` has the fields of :class:`mirror.records.changes.change.Change` and its actor
#: that are not empty. Numbers are never used twice.
changes = Table(
    "changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("content", JSON, nullable=False),
    sqlite_autoincrement=True,
)

#: Places of the readers of changes.
change_readers = keyed_table(
    "change_readers",
    Column("reader", String(80), primary_key=True),
    Column("change_id", Integer, nullable=False),
    Column("mark", String, nullable=False),
)
