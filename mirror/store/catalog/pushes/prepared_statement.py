"""Statements that are compiled once, for transactions of pushes.

SQLAlchemy spends several times as long on a small statement as SQLite does: it looks up the compiled text by the
structure of the statement, renders each IN list anew, and makes objects for the columns of the result. These
statements go to the driver, inside the transaction of their connection.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any, Final

from sqlalchemy import Connection, Executable, Select, bindparam, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ClauseElement

_DIALECT: Final = sqlite.dialect()


def values_of(name: str) -> Select[Any]:
    """Return the values of the parameter ``name``, made by :func:`as_values`, for ``in_()``."""
    # The text of the statement is the same for any number of values. PostgreSQL has json_array_elements_text().
    return select(func.json_each(bindparam(name)).table_valued("value").c.value)


def as_values(values: Collection[str]) -> str:
    """Return the parameter for :func:`values_of`."""
    return json.dumps(list(values))


class PreparedStatement:
    """A statement with its text.

    Rows have the values of the database: texts and numbers, no times.

    Args:
        statement: the statement. All its parameters are values, not expanding lists.
    """

    def __init__(self, statement: Executable) -> None:
        assert isinstance(statement, ClauseElement)  # noqa: S101 - for the type checker: SELECT, INSERT and others are
        compiled: Any = statement.compile(dialect=_DIALECT)
        self._text = str(compiled)
        self._parameters = [
            (name, bound.value, bound.type.dialect_impl(_DIALECT).bind_processor(_DIALECT))
            for name, bound in ((name, compiled.binds[name]) for name in compiled.positiontup)
        ]

    def run(self, connection: Connection, **values: object) -> list[tuple[Any, ...]]:
        """Run a statement that returns rows."""
        rows: list[tuple[Any, ...]] = _driver(connection).execute(self._text, self._in_order(values)).fetchall()
        return rows

    def change(self, connection: Connection, each: Iterable[dict[str, object]]) -> None:
        """Run a statement that changes rows, once for each set of values."""
        _driver(connection).executemany(self._text, [self._in_order(values) for values in each])

    def _in_order(self, values: dict[str, object]) -> list[Any]:
        return [
            values.get(name, value) if process is None else process(values.get(name, value))
            for name, value, process in self._parameters
        ]


def _driver(connection: Connection) -> Any:
    if not connection.in_transaction():
        connection.begin()  # the driver does not
    return connection.connection.driver_connection
