"""The catalog is copied before its tables are migrated. An older program refuses a newer catalog."""

import logging
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from structlog.testing import capture_logs

from mirror.oci.errors import CatalogFault, StorageFull
from mirror.store.catalog.databases.sqlite_database import SqliteDatabase
from mirror.store.catalog.migrate import MIGRATIONS, migrate
from mirror.store.catalog.tables.catalog_format import HEAD
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store

OLD = "0005"
NAMES = [f"acme/plugin-{number}" for number in range(2000)]


@pytest.fixture
def old(folder: Path) -> Path:
    """A data folder of an older version that was killed: part of the catalog is in its ``-wal`` file."""
    folder.mkdir(mode=0o700)
    made = folder.parent / "made.sqlite"
    engine = create_engine(f"sqlite:///{made}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, OLD)
    engine.dispose()
    with closing(sqlite3.connect(made)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        with database:
            database.executemany("INSERT INTO repositories (name) VALUES (?)", [(name,) for name in NAMES])
        for end in ("", "-wal"):
            shutil.copy(f"{made}{end}", f"{folder / 'catalog.sqlite'}{end}")
    return folder


def revision(catalog: Path) -> str:
    with closing(sqlite3.connect(catalog)) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def names(catalog: Path) -> list[str]:
    with closing(sqlite3.connect(catalog)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [name for (name,) in database.execute("SELECT name FROM repositories ORDER BY id")]


async def opened(folder: Path) -> None:
    async with Store.open(folder):
        pass


async def test_the_copy_is_the_catalog_of_before(old: Path) -> None:
    with capture_logs() as logs:
        await opened(old)
    copy = old / f"catalog-{OLD}.sqlite"

    assert (revision(old / "catalog.sqlite"), revision(copy)) == (HEAD, OLD)
    assert names(copy) == names(old / "catalog.sqlite") == NAMES
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [(line["event"], line["path"], line["format"]) for line in logs if "format" in line] == [
        ("catalog copied before its update", str(copy), int(OLD)),
        ("data folder updated", str(old), int(HEAD)),
    ]


async def test_a_new_catalog_is_told_in_one_line_and_no_library_speaks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    layout = DataLayout(tmp_path)
    database = SqliteDatabase(layout)
    # Stores of tests make new catalogs without migrations.
    with capture_logs() as logs, database.writing.begin() as connection:
        migrate(connection, database)
    database.close()
    assert [(line["event"], line["path"], line["format"]) for line in logs] == [
        ("data folder created", str(tmp_path), int(HEAD))
    ]
    assert caplog.records == []


async def test_the_copy_can_be_put_back(old: Path) -> None:
    await opened(old)
    for file in old.glob("catalog.sqlite*"):
        file.unlink()
    (old / f"catalog-{OLD}.sqlite").rename(old / "catalog.sqlite")
    await opened(old)

    assert names(old / "catalog.sqlite") == names(old / f"catalog-{OLD}.sqlite") == NAMES


async def test_there_is_one_copy_of_a_revision_and_it_is_the_last(old: Path) -> None:
    copy = old / f"catalog-{OLD}.sqlite"
    copy.write_bytes(b"an older copy")
    (old / f"{copy.name}.part").write_bytes(b"left by a crash")
    await opened(old)

    assert names(copy) == NAMES
    assert list(old.glob("catalog-*")) == [copy]


async def test_what_is_new_or_up_to_date_is_not_copied(folder: Path) -> None:
    for _ in range(2):
        await opened(folder)
    assert list(folder.glob("catalog-*")) == []


async def test_a_copy_that_has_no_room(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        # Enough for the start of an empty folder, and too little for the copy.
        patched.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=2 * 1024 * 1024))
        with pytest.raises(StorageFull, match=r"copied before.*nothing was changed.*free some space"):
            await opened(old)
    assert revision(old / "catalog.sqlite") == OLD
    assert list(old.glob("catalog-*")) == []
    await opened(old)


async def test_a_disk_that_fills_up_while_it_is_copied(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("mirror.store.catalog.catalog_copy.os.fsync", full)
        with pytest.raises(StorageFull):
            await opened(old)
    assert revision(old / "catalog.sqlite") == OLD
    assert list(old.glob("catalog-*")) == []


async def test_an_older_program_refuses_a_newer_catalog(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await opened(old)
    before = (old / "catalog.sqlite").read_bytes()
    known = f"v{OLD}_"
    older = old.parent / "older"
    shutil.copytree(MIGRATIONS, older)
    for file in (older / "versions").glob("v*.py"):
        if file.name > f"{known}~":
            file.unlink()
    monkeypatch.setattr("mirror.store.catalog.migrate.MIGRATIONS", older)
    monkeypatch.setattr("mirror.store.catalog.migrate.HEAD", OLD)

    with pytest.raises(CatalogFault) as caught:
        await opened(old)

    assert f"at revision {HEAD}, which this version does not know" in str(caught.value)
    assert "use the version that made it" in str(caught.value)
    assert str(old / f"catalog-{OLD}.sqlite") in str(caught.value)
    assert (old / "catalog.sqlite").read_bytes() == before
    assert os.listdir(old).count(f"catalog-{HEAD}.sqlite") == 0  # noqa: PTH208
