"""Statements that are compiled once, for transactions of pushes.

SQLAlchemy spends several times as long on a small statement as SQLite does: it looks up the compiled text by the
structure of the statement, renders each IN list anew, and makes objects for the columns of the result. These
statements go to the driver, inside the transaction of their connection.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Executable, Select, String, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.functions import FunctionElement


class _JsonTexts(FunctionElement[str]):
    """A table with the texts of an array in JSON, in its column ``value``."""

    name = "json_texts"
    inherit_cache = True


@compiles(_JsonTexts, "sqlite")
def _in_sqlite(element: _JsonTexts, compiler: Any, **keywords: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **keywords)})"


@compiles(_JsonTexts, "postgresql")
def _in_postgresql(element: _JsonTexts, compiler: Any, **keywords: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **keywords)} AS JSON))"


def values_of(name: str) -> Select[Any]:
    """Return the values of the parameter ``name``, made by :func:`as_values`, for ``in_()``."""
    # The text of the statement is the same for any number of values.
    return select(_JsonTexts(bindparam(name, type_=String)).table_valued("value").c.value)


def as_values(values: Collection[str]) -> str:
    """Return the parameter for :func:`values_of`."""
    return json.dumps(list(values))


class PreparedStatement:
    """A statement with its text.

    Rows have the values of the database: texts and numbers, no times.

    Args:
        statement: the statement. All its parameters are values, not expanding lists.
        columns: the columns that an INSERT sets; None for all.
    """

    def __init__(self, statement: Executable, columns: Sequence[str] | None = None) -> None:
        assert isinstance(statement, ClauseElement)  # noqa: S101 - for the type checker: SELECT, INSERT and others are
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, **values: object) -> list[tuple[Any, ...]]:
        """Run a statement that returns rows."""
        compiled = self._of(connection)
        rows: list[tuple[Any, ...]] = _driver(connection).execute(compiled.text, compiled.parameters(values)).fetchall()
        return rows

    def change(self, connection: Connection, each: Iterable[dict[str, object]]) -> None:
        """Run a statement that changes rows, once for each set of values."""
        compiled = self._of(connection)
        cursor = _driver(connection).cursor()
        cursor.executemany(compiled.text, [compiled.parameters(values) for values in each])
        cursor.close()

    def _of(self, connection: Connection) -> _Compiled:
        dialect = connection.dialect
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = _Compiled(self._statement, dialect, self._columns)
        return found


class _Compiled:
    """A statement for one kind of database.

    Attributes:
        text: the text for the driver.
    """

    def __init__(self, statement: ClauseElement, dialect: Dialect, columns: Sequence[str] | None) -> None:
        compiled: Any = statement.compile(dialect=dialect, column_keys=columns)
        self.text = str(compiled)
        self._by_position = compiled.positional
        names = compiled.positiontup if compiled.positional else list(compiled.binds)
        self._parameters = [
            (name, bound.value, bound.type.dialect_impl(dialect).bind_processor(dialect))
            for name, bound in ((name, compiled.binds[name]) for name in names)
        ]

    def parameters(self, values: dict[str, object]) -> list[Any] | dict[str, Any]:
        """Return the parameters of the text for values by name."""
        if self._by_position:
            return [
                values.get(name, value) if process is None else process(values.get(name, value))
                for name, value, process in self._parameters
            ]
        return {
            name: values.get(name, value) if process is None else process(values.get(name, value))
            for name, value, process in self._parameters
        }


def _driver(connection: Connection) -> Any:
    if not connection.in_transaction():
        connection.begin()  # the driver does not
    return connection.connection.driver_connection
