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

#: Events that wait for an endpoint, and dead letters: those that the endpoint did not take in time. ``due_at`` is the
#: time of the next attempt; None for a dead letter. Events of one repository go out in the order of their changes.
deliveries = keyed_table(
    "deliveries",
    Column("endpoint", String(80), primary_key=True),
    Column("change_id", Integer, primary_key=True),
    Column("repository", String(255), nullable=False),
    Column("body", String, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcDateTime),
    Column("problem", String, nullable=False),
)
