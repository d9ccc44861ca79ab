"""PostgreSQL with the types and statements of the catalog.

The catalog has the same tables and statements in both databases. Differences are translated here, in one place: texts
have no limit of length and compare byte by byte, whole numbers have 64 bits, and the statements that SQLAlchemy makes
for SQLite's ON CONFLICT are those of PostgreSQL.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Engine
from sqlalchemy.dialects.postgresql.base import PGDDLCompiler, PGTypeCompiler
from sqlalchemy.dialects.sqlite.dml import OnConflictClause, OnConflictDoNothing, OnConflictDoUpdate
from sqlalchemy.ext.compiler import compiles


class _Types(PGTypeCompiler):
    """Texts of any length in the order of bytes, and numbers of 64 bits: for columns and for parameters."""

    def visit_VARCHAR(self, type_: Any, **_keywords: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        return 'TEXT COLLATE "C"'

    def visit_INTEGER(self, type_: Any, **_keywords: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        return "BIGINT"


class _Tables(PGDDLCompiler):
    """Tables whose counted keys have 64 bits."""

    def get_column_specification(self, column: Column[Any], **keywords: Any) -> str:
        text: str = super().get_column_specification(column, **keywords)  # type: ignore[no-untyped-call]
        return text.replace(" SERIAL", " BIGSERIAL")


def use_for(engine: Engine) -> None:
    """Let an engine of PostgreSQL make the tables of the catalog."""
    dialect: Any = engine.dialect
    dialect.type_compiler_instance = _Types(dialect)
    dialect.ddl_compiler = _Tables


@compiles(OnConflictDoNothing, "postgresql")
@compiles(OnConflictDoUpdate, "postgresql")
def _on_conflict(clause: OnConflictClause, compiler: Any, **keywords: Any) -> str:
    # PostgreSQL's compiler asks for a constraint that is named instead of columns.
    clause.constraint_target = None  # type: ignore[attr-defined]
    visit = getattr(compiler, f"visit_{clause.__visit_name__}")
    text: str = visit(clause, **keywords)
    return text
