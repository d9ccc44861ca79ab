"""A missing catalog beside content is an error, not a new registry."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from mirror.oci.errors import CatalogFault
from mirror.store.catalog.catalog_loss import require_catalog
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from tests.support.builders import push_blob


@pytest.fixture
async def filled(folder: Path) -> Path:
    """A data folder that holds a blob, with its store closed."""
    async with Store.open(folder) as store:
        await push_blob(store, b"content")
    return folder


async def refused(folder: Path) -> str:
    """Return the error of a folder that cannot be opened. Each try fails alike and changes nothing."""
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    said = []
    for _ in range(2):
        with pytest.raises(CatalogFault) as caught:
            async with Store.open(folder):
                pass
        said.append(str(caught.value))
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert said[0] == said[1]
    assert "restore a backup of the catalog" in said[0]
    assert "configure an empty folder" in said[0]
    return said[0]


async def test_a_missing_catalog(filled: Path) -> None:
    (filled / "catalog.sqlite").unlink()
    assert "is missing" in await refused(filled)


async def test_an_empty_catalog(filled: Path) -> None:
    (filled / "catalog.sqlite").write_bytes(b"")
    assert "is empty" in await refused(filled)


@pytest.mark.parametrize("content", [b"", None], ids=["empty", "missing"])
async def test_what_the_database_has_not_moved_yet_is_left_alone(folder: Path, content: bytes | None) -> None:
    async with Store.open(folder):
        pass
    (folder / "catalog.sqlite").unlink()
    if content is not None:
        (folder / "catalog.sqlite").write_bytes(content)
    (folder / "catalog.sqlite-wal").write_bytes(b"changes")
    await refused(folder)
    assert (folder / "catalog.sqlite-wal").read_bytes() == b"changes"


async def test_what_is_no_database(filled: Path) -> None:
    (filled / "catalog.sqlite").write_bytes(b"this is none")
    assert "is not a database" in await refused(filled)


@pytest.mark.parametrize("left_bytes", [16, 100, 4096, 20_000])
async def test_a_catalog_that_is_cut_off(filled: Path, left_bytes: int) -> None:
    content = (filled / "catalog.sqlite").read_bytes()
    (filled / "catalog.sqlite").write_bytes(content[:left_bytes])
    told = await refused(filled)
    assert "catalog.sqlite is damaged (" in told
    assert told.count("fix:") == 1


async def test_a_catalog_of_which_a_part_is_something_else(filled: Path) -> None:
    content = (filled / "catalog.sqlite").read_bytes()
    (filled / "catalog.sqlite").write_bytes(content[:100] + b"\xa5" * (len(content) - 100))
    told = await refused(filled)
    assert "catalog.sqlite is damaged (" in told
    assert told.count("fix:") == 1


async def test_a_catalog_that_is_no_file(filled: Path) -> None:
    (filled / "catalog.sqlite").unlink()
    os.mkfifo(filled / "catalog.sqlite")
    assert "catalog.sqlite is not a file" in await refused(filled)


async def test_a_catalog_without_tables(filled: Path) -> None:
    (filled / "catalog.sqlite").unlink()
    with closing(sqlite3.connect(filled / "catalog.sqlite")) as database:
        database.execute("PRAGMA journal_mode=WAL")
    with pytest.raises(CatalogFault, match=r"has no tables.*restore a backup"):
        async with Store.open(filled):
            pass
    assert (filled / "catalog.sqlite").stat().st_size == 4096


async def test_a_copy_that_lies_there_is_named(filled: Path) -> None:
    (filled / "catalog.sqlite").rename(filled / "catalog-0003.sqlite")
    assert "catalog-0003.sqlite" in await refused(filled)


async def test_a_backup_that_is_put_back(filled: Path) -> None:
    backup = (filled / "catalog.sqlite").read_bytes()
    (filled / "catalog.sqlite").unlink()
    await refused(filled)
    (filled / "catalog.sqlite").write_bytes(backup)
    async with Store.open(filled) as store:
        await push_blob(store, b"content")


@pytest.mark.parametrize("left", ["nothing", "folders", "catalog", "first page"])
async def test_a_first_start_that_was_interrupted(folder: Path, left: str) -> None:
    layout = DataLayout(folder)
    if left != "nothing":
        folder.mkdir()
        for one in layout.folders():
            one.mkdir()
    if left in {"catalog", "first page"}:
        layout.catalog.write_bytes(b"")
    if left == "first page":
        with closing(sqlite3.connect(layout.catalog)) as database:
            database.execute("PRAGMA journal_mode=WAL")

    async with Store.open(folder) as store:
        await push_blob(store, b"content")


def test_a_catalog_that_another_process_has_just_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = DataLayout(tmp_path)
    glob = Path.glob

    def overtaken(path: Path, pattern: str) -> object:
        """Let another process create the catalog and store a blob after this process looked for the catalog."""
        with suppress(FileExistsError):
            (tmp_path / "blobs" / "sha256" / "ab").mkdir(parents=True)
        (tmp_path / "blobs" / "sha256" / "ab" / "content").write_bytes(b"")
        layout.catalog.write_bytes(b"SQLite format 3\0")
        return glob(path, pattern)

    monkeypatch.setattr(Path, "glob", overtaken)
    require_catalog(layout)
