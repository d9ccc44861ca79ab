"""A lost or damaged catalog is rebuilt, and what cannot be known is told."""

import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from mirror.app.storage.backups.names_keeping import snapshot_if_changed
from mirror.app.storage.backups.recovering import Recovery, recover
from mirror.oci import Repository, Tag
from mirror.oci.errors import Busy, NotFound
from mirror.oci.media_types import OCI_INDEX
from mirror.records.admission.arrivals import ContentSource, coming_from
from mirror.records.changes.change import Change, ChangeKind
from mirror.records.users import User
from mirror.settings import Settings
from mirror.settings.storage.storage_settings import StorageSettings
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from tests.support.backups import blob_files, path_of
from tests.support.builders import OTHER, REPOSITORY, manifest_of, push_blob, push_image, read_blob
from tests.support.clocks import START
from tests.support.plugins import NAME, put_plugin

FOUND = Repository("recovered")
NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def recovered(folder: Path, *, dry_run: bool = False) -> Recovery:
    return await recover(Settings(storage=StorageSettings(path=folder)), FOUND, dry_run=dry_run)


async def filled(folder: Path, after: Callable[[Store], Awaitable[object]] | None = None) -> None:
    """Fill a data folder, write the snapshot of names, and make more changes."""
    async with Store.open(folder) as store:
        await push_image(store, "one", "1.0", "latest")
        await push_image(store, "two", "2.0", repository=OTHER, algorithm="sha512")
        await store.records.users.add_user(User("anna", "hash", START))
        await snapshot_if_changed(DataLayout(folder), store)
        if after is not None:
            await after(store)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works in the folder of another user")
async def test_what_root_recovers_belongs_to_the_user_of_the_folder(folder: Path) -> None:
    await filled(folder)
    lose(folder)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    await recovered(folder)
    assert {path for path in (folder, *folder.rglob("*")) if path.stat().st_uid != NOBODY} == set()
    assert (folder / "catalog.sqlite").stat().st_mode & 0o777 == 0o600


async def test_a_cooldown_goes_on(folder: Path) -> None:
    async with Store.open(folder) as store:
        with coming_from(ContentSource("hub", Repository("contiv/v2plugin"))):
            manifest = await put_plugin(store)
        sight = await store.records.arrivals.first_sight(NAME, manifest.digest)
        await snapshot_if_changed(DataLayout(folder), store)
    lose(folder)
    await recovered(folder)
    async with Store.open(folder) as store:
        assert sight is not None
        assert await store.records.arrivals.first_sight(NAME, manifest.digest) == sight


async def pulled(store: Store, repository: Repository, tag: str) -> None:
    """Pull everything that a tag names."""
    manifest = await store.get_manifest(repository, Tag(tag))
    for member in manifest.manifests:
        for blob in (await store.get_manifest(repository, member.digest)).blobs:
            await read_blob(store, blob.digest, repository)
    for blob in manifest.blobs:
        await read_blob(store, blob.digest, repository)


def lose(folder: Path) -> None:
    for file in folder.glob("catalog.sqlite*"):
        file.unlink()


def damage(folder: Path) -> None:
    """Overwrite the middle of the catalog."""
    file = folder / "catalog.sqlite"
    content = file.read_bytes()
    middle = len(content) // 2 // 4096 * 4096
    file.write_bytes(content[:middle] + b"\xa5" * 65_536 + content[middle + 65_536 :])


@pytest.mark.parametrize("lost", [lose, damage, lambda folder: (folder / "catalog.sqlite").write_bytes(b"")])
async def test_names_users_and_content_come_back(folder: Path, lost: Callable[[Path], object]) -> None:
    await filled(folder)
    had_catalog = lost is not lose
    lost(folder)
    result = await recovered(folder)
    assert result.is_done
    assert result.problem.startswith(f"{folder / 'catalog.sqlite'} is ")
    assert (result.repositories, result.tags) == (2, 3)
    assert (result.aside is not None) == had_catalog
    assert result.rebuilt.lost_tags == result.found.recovered == result.found.broken == []
    async with Store.open(folder) as store:
        for repository, tag in ((REPOSITORY, "1.0"), (REPOSITORY, "latest"), (OTHER, "2.0")):
            await pulled(store, repository, tag)
        assert [user.name for user in await store.records.users.list_users()] == ["anna"]
        (told,) = await store.records.changes.read(0, 100)
        assert told.change == Change(ChangeKind.CATALOG_RECOVERED, "catalog", reason=result.problem)
    assert not (folder / "recovering").exists()


async def test_a_catalog_that_is_whole_is_left_alone(folder: Path) -> None:
    await filled(folder)
    before = (folder / "catalog.sqlite").read_bytes()
    result = await recovered(folder)
    assert (result.problem, result.is_done) == ("", False)
    assert (folder / "catalog.sqlite").read_bytes() == before


async def test_a_dry_run_changes_nothing(folder: Path) -> None:
    await filled(folder)
    lose(folder)
    before = sorted(folder.iterdir())
    assert (await recovered(folder, dry_run=True)).tags == 3
    assert sorted(folder.iterdir()) == before


async def test_what_was_pushed_after_the_snapshot_has_no_name(folder: Path) -> None:
    pushed = []

    async def push(store: Store) -> None:
        pushed.append(await push_image(store, "three", "3.0"))

    await filled(folder, push)
    lose(folder)
    result = await recovered(folder)
    tag = pushed[0].digest.hex[:12]
    assert result.found.recovered == [f"recovered:{tag}"]
    async with Store.open(folder) as store:
        await pulled(store, FOUND, tag)
        with pytest.raises(NotFound):
            await store.resolve(REPOSITORY, Tag("3.0"))


async def test_an_index_without_a_name_comes_back_with_its_members(folder: Path) -> None:
    async def push(store: Store) -> None:
        member = await push_image(store, "member")
        known = await store.get_manifest(REPOSITORY, Tag("1.0"))
        body = {"manifests": [member.descriptor.to_json(), known.descriptor.to_json()]}
        await store.put_manifest(REPOSITORY, manifest_of(body, OCI_INDEX), [Tag("all")])

    await filled(folder, push)
    lose(folder)
    found = (await recovered(folder)).found.recovered
    assert len(found) == 1
    async with Store.open(folder) as store:
        await pulled(store, FOUND, found[0].partition(":")[2])


async def test_without_a_snapshot_manifests_are_found_by_their_bytes(folder: Path) -> None:
    await filled(folder)
    lose(folder)
    (folder / "names.sqlite").unlink()
    result = await recovered(folder)
    assert len(result.found.recovered) == 2
    assert result.rebuilt.taken_at is None
    assert not result.rebuilt.is_salvaged


async def test_without_a_snapshot_the_damaged_catalog_is_read_as_far_as_it_goes(folder: Path) -> None:
    await filled(folder)
    (folder / "names.sqlite").unlink()
    with closing(sqlite3.connect(folder / "catalog.sqlite", isolation_level=None)) as database:
        page = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sync_runs'").fetchone()[0]
        size = database.execute("PRAGMA page_size").fetchone()[0]
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (folder / "catalog.sqlite").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    result = await recovered(folder)
    assert result.rebuilt.is_salvaged
    assert result.tags == 3
    async with Store.open(folder) as store:
        await pulled(store, REPOSITORY, "1.0")


async def test_a_damaged_snapshot_is_no_snapshot(folder: Path) -> None:
    await filled(folder)
    lose(folder)
    (folder / "names.sqlite").write_bytes(b"SQLite format 3\0" + bytes(10_000))
    assert (await recovered(folder)).rebuilt.taken_at is None


async def test_names_whose_content_is_gone_are_told(folder: Path) -> None:
    await filled(folder)
    async with Store.open(folder) as store:
        manifest = await store.get_manifest(REPOSITORY, Tag("1.0"))
        other = await store.get_manifest(OTHER, Tag("2.0"))
    lose(folder)
    path_of(folder, manifest.digest).unlink()
    path_of(folder, other.layers[0].digest).unlink()
    result = await recovered(folder)
    assert [name for name, _ in result.rebuilt.lost_tags] == ["contiv/v2plugin:1.0", "contiv/v2plugin:latest"]
    assert result.found.broken == [f"{OTHER}@{other.digest}"]
    assert result.tags == 0


async def test_a_manifest_that_lacks_content_is_no_plugin(folder: Path) -> None:
    pushed = []

    async def push(store: Store) -> None:
        pushed.append(await push_image(store, "three", "3.0"))

    await filled(folder, push)
    lose(folder)
    layer = pushed[0].layers[0].digest
    path_of(folder, layer).unlink()
    result = await recovered(folder)
    assert result.found.incomplete == {str(pushed[0].digest): str(layer)}
    assert result.found.recovered == []


async def test_files_that_were_cut_off_are_left_out(folder: Path) -> None:
    await filled(folder)
    async with Store.open(folder) as store:
        layer = (await store.get_manifest(REPOSITORY, Tag("1.0"))).layers[0].digest
    lose(folder)
    path_of(folder, layer).write_bytes(b"short")
    result = await recovered(folder)
    assert result.rebuilt.wrong_sizes == [str(layer)]
    assert [name.partition("@")[0] for name in result.found.broken] == [str(REPOSITORY)]


async def test_a_running_server_is_in_the_way(folder: Path) -> None:
    await filled(folder)
    async with Store.open(folder):
        with pytest.raises(Busy, match="running server"):
            await recovered(folder)


async def test_an_interrupted_recovery_is_run_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(folder)
    damage(folder)
    rename = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if path.parent.name == "recovering":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        await recovered(folder)
    monkeypatch.undo()
    assert not (folder / "catalog.sqlite").exists()
    assert (await recovered(folder)).tags == 3
    assert len(list(folder.glob("catalog.sqlite.damaged-*"))) == 1


async def test_the_snapshot_is_written_after_changes_only(folder: Path) -> None:
    layout = DataLayout(folder)
    async with Store.open(folder) as store:
        await push_image(store, "one", "1.0")
        await snapshot_if_changed(layout, store)
        first = layout.names.stat()
        assert await snapshot_if_changed(layout, store) == 0
        assert layout.names.stat().st_ino == first.st_ino
        await push_blob(store, b"more")
        await snapshot_if_changed(layout, store)
        assert layout.names.stat().st_ino != first.st_ino
    assert layout.names.stat().st_mode & 0o077 == 0


async def test_blobs_stay_as_they_are(folder: Path) -> None:
    await filled(folder)
    lose(folder)
    before = blob_files(folder)
    await recovered(folder)
    assert blob_files(folder) == before
