"""A catalog that is copied to PostgreSQL and back is the same."""

import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select

from mirror.store.catalog.databases.catalog_database import CatalogDatabase
from mirror.store.catalog.databases.postgresql_database import PostgresqlDatabase
from mirror.store.catalog.databases.sqlite_database import SqliteDatabase
from mirror.store.catalog.databases.table_copy import all_tables, copy_tables
from mirror.store.catalog.migrate import migrate
from mirror.store.catalog.tables.collection_tables import quota_additions
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from tests.support.databases import new_postgresql

ADDITION = {
    "scope": "user alice",
    "size_bytes": 1,
    "manifests": 0,
    "tags": 0,
    "added_at": datetime(2026, 1, 1, tzinfo=UTC),
}
FOLDERS = Path(__file__).parent / "folders"


def copied(source: CatalogDatabase, target: CatalogDatabase) -> int:
    target.make_ready()
    with target.writing.begin() as connection:
        migrate(connection, target)
        return copy_tables(source.reading, connection)


def rows(catalog: Path) -> dict[str, list[str]]:
    """Return the rows of all tables as SQLite has them, byte by byte."""
    with closing(sqlite3.connect(catalog)) as database:
        return {
            table.name: sorted(map(repr, database.execute(f"SELECT * FROM {table.name}"))) for table in all_tables()
        } | {"": sorted(map(repr, database.execute("SELECT * FROM sqlite_sequence")))}


@pytest.mark.parametrize("archive", ["revision-0007", "revision-0014", "used-0007"])
async def test_a_catalog_that_went_to_postgresql_and_back_is_the_same(archive: str, tmp_path: Path) -> None:
    with tarfile.open(FOLDERS / f"{archive}.tar.gz") as opened:
        opened.extractall(tmp_path / "data", filter="fully_trusted")
    async with Store.open(tmp_path / "data"):
        pass
    first, second = DataLayout(tmp_path / "data"), DataLayout(tmp_path / "back")
    second.root.mkdir()
    before, between, after = SqliteDatabase(first), PostgresqlDatabase(second, new_postgresql()), SqliteDatabase(second)

    number = copied(before, between)
    assert copied(between, after) == number > 40
    for database in (before, between, after):
        database.close()
    assert rows(second.catalog) == rows(first.catalog)


async def test_a_number_is_not_used_again_after_the_copy(tmp_path: Path) -> None:
    first = DataLayout(tmp_path / "data")
    async with Store.open(first.root):
        pass
    before, between = SqliteDatabase(first), PostgresqlDatabase(DataLayout(tmp_path / "other"), new_postgresql())
    with before.writing.begin() as connection:
        for _ in range(3):
            connection.execute(insert(quota_additions).values(**ADDITION))
        connection.execute(delete(quota_additions).where(quota_additions.c.id == 3))
    copied(before, between)
    with between.writing.begin() as connection:
        connection.execute(insert(quota_additions).values(**ADDITION))
        assert connection.execute(select(quota_additions.c.id)).scalars().all() == [1, 2, 4]
    for database in (before, between):
        database.close()
