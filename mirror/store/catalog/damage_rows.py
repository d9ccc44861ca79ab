"""Rows of damaged content. Content with such a row counts as not held: no read, mount or manifest may rely on it."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists

from mirror.store.catalog.tables.collection_tables import damaged_content

_WHOLE_AGAIN = delete(damaged_content).where(damaged_content.c.digest == bindparam("whole"))


def is_whole(digest: ColumnElement[str]) -> ColumnElement[bool]:
    """Return a condition that is true unless the bytes of a digest are known to be damaged."""
    return ~exists().where(damaged_content.c.digest == digest)


def whole_again(connection: Connection, digest: str) -> bool:
    """Record that the bytes of a digest are whole. Return True if they were damaged. Only inside a transaction."""
    return bool(connection.execute(_WHOLE_AGAIN, {"whole": digest}).rowcount)
