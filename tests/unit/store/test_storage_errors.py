"""Errors of the database in our words. SQLite's and SQLAlchemy's own reach no user."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from mirror.oci.errors import CatalogFault
from mirror.store.recovery.names_snapshot import NamesSource
from mirror.store.storage_errors import database_words, fault_of


def of_another_kind(file: Path) -> None:
    file.write_bytes(b"this is no database, whatever its name says" * 100)


def with_damaged_pages(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE things (name TEXT)")
        database.executemany("INSERT INTO things VALUES (?)", [("x" * 500,)] * 100)
        database.commit()
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


def without_tables(file: Path) -> None:
    sqlite3.connect(file).close()


def without_a_folder(file: Path) -> None:
    file.parent.rmdir()


FAULTS: dict[str, Callable[[Path], None]] = {
    "it is not a database": of_another_kind,
    "its bytes are damaged": with_damaged_pages,
    "it lacks tables or columns of this version": without_tables,
    "it cannot be opened": without_a_folder,
}


@pytest.mark.parametrize("words", FAULTS)
def test_an_error_of_sqlite_has_our_words(words: str, tmp_path: Path) -> None:
    file = tmp_path / "folder" / "catalog.sqlite"
    file.parent.mkdir()
    FAULTS[words](file)
    with pytest.raises(sqlite3.Error) as caught, closing(sqlite3.connect(file)) as database:
        database.execute("SELECT * FROM things").fetchall()
    assert database_words(caught.value) == words


def test_a_locked_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "catalog.sqlite"
    with closing(sqlite3.connect(file)) as one, closing(sqlite3.connect(file, timeout=0)) as other:
        one.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            other.execute("BEGIN EXCLUSIVE")
        fault = fault_of(caught.value, "write the catalog", file)
    assert database_words(caught.value) == "it is locked by another process"
    assert str(fault) == f"cannot write the catalog: another process keeps {file} locked; fix: end that process"


def test_an_error_that_sqlalchemy_wraps_has_our_words(tmp_path: Path) -> None:
    file = tmp_path / "catalog.sqlite"
    of_another_kind(file)
    engine = create_engine(f"sqlite:///{file}")
    with pytest.raises(SQLAlchemyError) as caught, engine.connect() as connection:
        connection.execute(text("SELECT * FROM things"))
    engine.dispose()
    assert str(fault_of(caught.value, "read the catalog", file)) == (
        f"cannot read the catalog: it is not a database ({file}); fix: restore a backup, or stop the server and run "
        "'plugin-mirror recover'"
    )


def test_an_error_of_sqlalchemy_itself_has_our_words(tmp_path: Path) -> None:
    error = SQLAlchemyError("QueuePool limit of size 1 overflow 0 reached")
    told = str(fault_of(error, "read the catalog", tmp_path))
    assert told.startswith("cannot read the catalog: the database library failed (SQLAlchemyError) (")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (of_another_kind, "it is not a database"),
        (with_damaged_pages, "its bytes are damaged"),
        (without_tables, "it lacks tables or columns of this version"),
    ],
)
def test_a_damaged_snapshot_of_names_is_told(damage: Callable[[Path], None], why: str, tmp_path: Path) -> None:
    file = tmp_path / "names.sqlite"
    damage(file)
    with NamesSource.open(file) as names, pytest.raises(CatalogFault) as caught:
        names.head()
    assert str(caught.value) == (
        f"{file} is damaged ({why}); fix: remove it, and 'plugin-mirror recover' reads the catalog instead"
    )
