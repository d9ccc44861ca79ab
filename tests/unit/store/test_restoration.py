"""Restores: every byte is verified, nothing is linked, and half a restore is no data folder."""

import io
import json
import shutil
from pathlib import Path

import pytest

from mirror.oci import Tag
from mirror.oci.errors import Busy, ConfigurationFault, StorageDamaged, StorageFault
from mirror.store.backup.backup_layout import parse_name, parse_sums_line
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.content.folder_use import shared_use, sole_use
from mirror.store.registry import Store
from tests.support.backups import back_up, blob_files, restore
from tests.support.builders import REPOSITORY, push_image, read_blob


@pytest.fixture
async def backup(folder: Path, tmp_path: Path) -> Path:
    """A backup of two images."""
    async with Store.open(folder) as store:
        await push_image(store, "one", "1.0")
        await push_image(store, "two", "2.0")
        await store.token_key()
    back_up(folder, tmp_path / "backup")
    return tmp_path / "backup"


@pytest.fixture
def restored(tmp_path: Path) -> Path:
    return tmp_path / "restored"


async def require_whole(data: Path) -> None:
    async with Store.open(data) as store:
        for tag in ("1.0", "2.0"):
            for blob in (await store.get_manifest(REPOSITORY, Tag(tag))).blobs:
                await read_blob(store, blob.digest)


async def test_a_restored_store_opens_with_all_content(backup: Path, folder: Path, restored: Path) -> None:
    restore(backup, restored)
    assert blob_files(restored) == blob_files(folder)
    assert (restored / "token.key").read_bytes() == (folder / "token.key").read_bytes()
    assert sorted(path.name for path in restored.iterdir()) == [
        "blobs",
        "catalog.sqlite",
        "damaged",
        "locks",
        "token.key",
        "uploads",
    ]
    await require_whole(restored)


def test_only_the_owner_may_read_what_is_restored(backup: Path, restored: Path) -> None:
    restore(backup, restored)
    assert [str(path) for path in (restored, *restored.rglob("*")) if path.stat().st_mode & 0o077] == []


def test_nothing_is_linked_to_the_backup(folder: Path, backup: Path, restored: Path) -> None:
    shutil.rmtree(backup)
    back_up(folder, backup, hard_link=True)
    restore(backup, restored)
    assert all(path.stat().st_nlink == 1 for path in (restored / "blobs").rglob("*") if path.is_file())


def test_a_folder_with_anything_in_it_is_refused(backup: Path, folder: Path, restored: Path) -> None:
    before = sorted(folder.rglob("*"))
    with pytest.raises(ConfigurationFault, match="is not empty"):
        restore(backup, folder)
    assert sorted(folder.rglob("*")) == before
    restored.mkdir()
    (restored / "notes").write_text("mine")
    with pytest.raises(ConfigurationFault, match="is not empty"):
        restore(backup, restored)


async def test_a_folder_with_certificates_alone_counts_as_empty(backup: Path, restored: Path) -> None:
    (restored / "tls").mkdir(parents=True)
    (restored / "tls/ca.key").write_text("mine")
    restore(backup, restored)
    await require_whole(restored)
    assert (restored / "tls/ca.key").read_text() == "mine"


class Interrupted(Filesystem):
    """Ends at the n-th rename."""

    def __init__(self, number: int) -> None:
        self.left = number

    def rename(self, source: Path, target: Path) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        super().rename(source, target)


def test_a_restore_into_the_backup_is_refused(backup: Path) -> None:
    with pytest.raises(ConfigurationFault, match="overlap"):
        restore(backup, backup / "restored")
    assert not (backup / "restored").exists()


async def test_half_a_restore_is_no_data_folder_and_goes_on(backup: Path, folder: Path, restored: Path) -> None:
    number, ended = 0, False
    while not ended:
        try:
            restore(backup, restored, Interrupted(number))
            ended = True
        except KeyboardInterrupt:
            with pytest.raises(StorageFault, match="run 'plugin-mirror restore' with the same backup again"):
                async with Store.open(restored):
                    pass
            assert restore(backup, restored).present == min(number, len(blob_files(folder)))
            shutil.rmtree(restored)
        number += 1
    assert number > len(blob_files(folder))
    await require_whole(restored)


def test_what_a_killed_restore_has_written_is_read_again(backup: Path, folder: Path, restored: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        restore(backup, restored, Interrupted(3))
    damaged = next(path for path in (restored / "blobs").rglob("*") if path.is_file())
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert restore(backup, restored).present == 2
    assert blob_files(restored) == blob_files(folder)


async def test_content_that_the_backup_has_lost_is_told_and_the_rest_restored(backup: Path, restored: Path) -> None:
    gone, changed = sorted(path for path in (backup / "blobs").rglob("*") if path.is_file())[:2]
    gone.unlink()
    changed.write_bytes(bytes(changed.stat().st_size))
    assert restore(backup, restored).damaged == {
        f"sha256:{gone.name}": "its file is missing",
        f"sha256:{changed.name}": "its bytes have another digest",
    }
    async with Store.open(restored):
        pass


@pytest.mark.parametrize("file", ["sums", "catalog.sqlite"])
def test_a_damaged_catalog_or_list_of_sums_is_refused(backup: Path, restored: Path, file: str) -> None:
    damaged = backup / "1" / file
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    with pytest.raises(StorageDamaged, match=rf"1/{file} .*damaged; fix: use another backup"):
        restore(backup, restored)
    assert not (restored / "catalog.sqlite").exists()


def test_a_backup_that_is_not_complete_is_refused(backup: Path, restored: Path) -> None:
    (backup / "backup.json").unlink()
    with pytest.raises(ConfigurationFault, match="holds no complete backup"):
        restore(backup, restored)
    assert not restored.exists()


def test_a_backup_of_a_later_version_is_refused_at_once(backup: Path, restored: Path) -> None:
    document = json.loads((backup / "backup.json").read_text())
    (backup / "backup.json").write_text(json.dumps({**document, "revision": "9999", "program": "9.0"}))
    with pytest.raises(ConfigurationFault, match=r"made by version 9\.0"):
        restore(backup, restored)
    assert not restored.exists()


def test_a_tar_that_ends_anywhere_is_not_restored(folder: Path, backup: Path, tmp_path: Path) -> None:
    stream = io.BytesIO()
    back_up(folder, stream)
    content = stream.getvalue()
    # The last blocks are zeros: a reader that has the document needs nothing more.
    whole_bytes = len(content.rstrip(b"\0"))
    for number, size_bytes in enumerate(range(700, whole_bytes, 20_000)):
        data = tmp_path / f"data-{number}"
        with pytest.raises(StorageFault):
            restore(io.BytesIO(content[:size_bytes]), data)
        assert (data / "restoring").exists()
    assert restore(io.BytesIO(content), data).damaged == {}


def test_what_is_no_backup_is_refused_before_anything_is_written(restored: Path) -> None:
    for stream in (io.BytesIO(b""), io.BytesIO(b"this is no tar" * 100)):
        with pytest.raises(ConfigurationFault, match="not a backup"):
            restore(stream, restored)
        assert [path.name for path in restored.iterdir()] == ["locks"]


def test_names_of_a_hostile_tar_are_no_paths() -> None:
    for name in (
        "../catalog.sqlite",
        "/etc/passwd",
        "1/../../x",
        "0/catalog.sqlite",
        "blobs/sha256/ab/../../../x",
        "blobs/sha256/ab/" + "cd" * 32,
        "blobs/sha256/AB/" + "AB" * 32,
        "blobs/md5/ab/" + "ab" * 16,
        "1/catalog.sqlite\n",
    ):
        assert parse_name(name) is None
    assert parse_sums_line("SHA256 (x) = abc") is None


def test_a_server_and_a_restore_keep_each_other_away(backup: Path, tmp_path: Path) -> None:
    data = tmp_path / "restored"
    (data / "locks").mkdir(parents=True)
    layout = DataLayout(data)
    with shared_use(layout), pytest.raises(Busy, match="used by a running server or another command"):
        restore(backup, data)
    with sole_use(layout), pytest.raises(Busy, match="is being restored or recovered"), shared_use(layout):
        pass


async def test_a_backup_of_an_earlier_version(old_folder: Path, tmp_path: Path, restored: Path) -> None:
    """Of a folder that this version only reads, so that its catalog has old tables."""
    report = back_up(old_folder, tmp_path / "backup")
    assert report.document.revision == "0007"
    restore(tmp_path / "backup", restored)
    async with Store.open(restored) as store:
        assert (await store.get_manifest(REPOSITORY.parse("acme/driver"), Tag("admitted"))).blobs
