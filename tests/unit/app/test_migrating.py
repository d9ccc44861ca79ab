"""``migrate``, ``backup`` and ``restore`` with the catalog in PostgreSQL."""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from mirror.app.services import open_store
from mirror.app.storage.backups.backing_up import back_up
from mirror.app.storage.backups.recovering import recover
from mirror.app.storage.backups.restoring import restore
from mirror.app.storage.migrating import migrate
from mirror.oci import Repository
from mirror.oci.errors import Busy, CatalogFault, ConfigurationFault
from mirror.registry.listing import all_repositories, all_tags
from mirror.settings import Settings, load
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.databases import postgresql_server

FOLDERS = Path(__file__).parents[1] / "store" / "folders"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of an earlier version, with content of all kinds."""
    with tarfile.open(FOLDERS / "used-0007.tar.gz") as archive:
        archive.extractall(tmp_path / "data", filter="fully_trusted")
    return tmp_path / "data"


@pytest.fixture
def sqlite(folder: Path) -> Settings:
    return settings(folder)


@pytest.fixture
def postgresql(folder: Path) -> Settings:
    return settings(folder, postgresql_server().new_database())


def settings(folder: Path, url: str | None = None) -> Settings:
    file = folder.parent / "config.yaml"
    catalog = "" if url is None else f", catalog: {{url: '{url}'}}"
    file.write_text(f"storage: {{path: '{folder}'{catalog}}}\n")
    return load(file)


async def content(of: Settings) -> dict[str, list[str]]:
    """Return the digest of each tag, by repository. All manifests are read."""
    async with open_store(of, must_exist=True) as store:
        return {
            name.name: [f"{tag}={(await store.get_manifest(name, tag)).digest}" async for tag in all_tags(store, name)]
            async for name in all_repositories(store)
        }


async def test_a_catalog_moves_to_postgresql_and_back(folder: Path, sqlite: Settings, postgresql: Settings) -> None:
    before = await content(sqlite)
    there = await migrate(sqlite, postgresql)
    assert (there.source, there.kept) == (str(folder), str(folder / "catalog-moved.sqlite"))
    assert there.target.startswith("postgresql://postgres@127.0.0.1:")
    assert await content(postgresql) == before
    with pytest.raises(CatalogFault, match="'plugin-mirror migrate' has moved the catalog; name its database in"):
        await content(sqlite)
    with pytest.raises(ConfigurationFault, match="the catalog is in another database"):
        await recover(sqlite, Repository("recovered"))

    back = await migrate(postgresql, sqlite)
    assert (back.target, back.kept) == (str(folder), there.target)
    assert await content(sqlite) == before
    assert not (folder / "catalog-moved.sqlite").exists()


async def test_a_database_that_has_a_catalog_is_refused(folder: Path, sqlite: Settings, postgresql: Settings) -> None:
    await migrate(sqlite, postgresql)
    (folder / "catalog-moved.sqlite").rename(folder / "catalog.sqlite")
    with pytest.raises(ConfigurationFault, match="has a catalog already, and nothing was changed; fix: name an empty"):
        await migrate(sqlite, postgresql)
    with pytest.raises(ConfigurationFault, match=r"catalog\.sqlite exists, and nothing was changed"):
        await migrate(postgresql, sqlite)


async def test_what_cannot_be_moved(folder: Path, sqlite: Settings, postgresql: Settings) -> None:
    with pytest.raises(ConfigurationFault, match="both configurations name the same catalog"):
        await migrate(sqlite, sqlite)
    with pytest.raises(ConfigurationFault, match="name two data folders"):
        await migrate(sqlite, settings(folder.parent / "other", "postgresql://db/x"))
    async with open_store(sqlite, must_exist=True):
        with pytest.raises(Busy, match="is used by a running server or another command"):
            await migrate(sqlite, postgresql)
    assert await content(sqlite)


async def test_a_backup_of_postgresql_is_restored_to_either_database(
    folder: Path, sqlite: Settings, postgresql: Settings
) -> None:
    before = await content(sqlite)
    await migrate(sqlite, postgresql)
    backup = folder.parent / "backup"
    report = await back_up(postgresql, backup, SilentProgress())
    assert report.document is not None
    with closing(sqlite3.connect(backup / str(report.document.serial) / "catalog.sqlite")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    for restored in (
        settings(folder.parent / "first"),
        settings(folder.parent / "second", postgresql_server().new_database()),
    ):
        await restore(restored, backup, SilentProgress())
        assert await content(restored) == before
    assert postgresql.storage.catalog is not None
    used = settings(folder.parent / "third", postgresql.storage.catalog.url)
    with pytest.raises(ConfigurationFault, match="has a catalog already"):
        await restore(used, backup, SilentProgress())
    assert not (folder.parent / "third").exists()
