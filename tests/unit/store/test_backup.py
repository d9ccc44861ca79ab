"""Backups into a folder or a tar: complete at all times, verified, and incremental."""

import io
import json
import shutil
import sqlite3
import subprocess
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from mirror.oci import Tag
from mirror.oci.errors import Busy, CatalogFault, ConfigurationFault, StorageDamaged
from mirror.store.backup.backup_request import CopyMethod
from mirror.store.backup.backup_target import BackupTarget
from mirror.store.content.filesystem import Filesystem
from mirror.store.registry import Store
from tests.support.backups import ByteCount, back_up, blob_files, path_of, restore
from tests.support.builders import REPOSITORY, push_blob, push_image

LARGE = bytes(range(256)) * 40_000


@pytest.fixture
async def filled(folder: Path) -> Path:
    """A data folder with two images, a large blob and a key, closed."""
    async with Store.open(folder) as store:
        await push_image(store, "one", "1.0")
        await push_image(store, "two", "2.0", algorithm="sha512")
        await push_blob(store, LARGE)
        await store.token_key()
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def document(target: Path) -> dict[str, object]:
    return json.loads((target / "backup.json").read_text())


def test_a_backup_has_all_blobs_the_catalog_and_the_key(filled: Path, target: Path) -> None:
    count = ByteCount()
    report = back_up(filled, target, count=count)
    assert blob_files(target) == blob_files(filled)
    assert (target / "1" / "token.key").read_bytes() == (filled / "token.key").read_bytes()
    assert report.document.blobs == len(blob_files(filled))
    assert count.expected == count.done == report.document.size_bytes == report.written_bytes


def test_only_the_owner_may_read_a_backup(filled: Path, target: Path) -> None:
    back_up(filled, target)
    assert [str(path) for path in (target, *target.rglob("*")) if path.stat().st_mode & 0o077] == []


def test_the_program_cksum_can_check_a_backup(filled: Path, target: Path) -> None:
    back_up(filled, target)
    assert subprocess.run(["cksum", "--check", "--quiet", "1/sums"], cwd=target, check=False).returncode == 0


async def test_a_later_backup_copies_what_is_new_and_removes_what_is_gone(filled: Path, target: Path) -> None:
    back_up(filled, target)
    before = {path: path.stat().st_mtime_ns for path in (target / "blobs").rglob("*") if path.is_file()}
    async with Store.open(filled) as store:
        await push_image(store, "three", "3.0")
        large = path_of(filled, (await push_blob(store, b"gone")).digest)
    report = back_up(filled, target)
    assert sum(report.written.values()) == 4
    assert report.kept == len(before)
    assert all(path.stat().st_mtime_ns == changed for path, changed in before.items())

    with closing(sqlite3.connect(filled / "catalog.sqlite", isolation_level=None)) as database:
        database.execute("DELETE FROM repository_blobs WHERE digest = ?", (f"sha256:{large.name}",))
        database.execute("DELETE FROM blobs WHERE digest = ?", (f"sha256:{large.name}",))
    assert back_up(filled, target).removed == 1
    assert large.name not in {path.name for path in target.rglob("*")}
    assert sorted(path.name for path in target.iterdir()) == ["3", "backup.json", "blobs", "lock"]


def test_damaged_content_is_told_and_left_out(filled: Path, target: Path) -> None:
    files = sorted(path for path in (filled / "blobs").rglob("*") if path.is_file())
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-1])
    files[2].write_bytes(bytes(len(files[2].read_bytes())))
    report = back_up(filled, target)
    problems = " ".join(report.problems.values())
    assert len(report.damaged) == 3
    assert "its file is missing" in problems
    assert "bytes, not" in problems
    assert "its bytes have another digest" in problems
    assert len(blob_files(target)) == len(files) - 3
    assert document(target)["damaged"] == report.problems


def test_an_earlier_backup_keeps_what_the_store_has_lost(filled: Path, target: Path) -> None:
    back_up(filled, target)
    before = blob_files(target)
    next(path for path in (filled / "blobs").rglob("*") if path.is_file()).unlink()
    assert back_up(filled, target).damaged == {}
    assert blob_files(target) == before


def test_verify_repairs_what_the_disk_of_the_backup_has_lost(filled: Path, target: Path) -> None:
    back_up(filled, target)
    damaged = next(path for path in (target / "blobs").rglob("*") if path.is_file())
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert back_up(filled, target).repaired == 0
    assert back_up(filled, target, verify=True).repaired == 1
    assert blob_files(target) == blob_files(filled)


def test_hard_links_share_files_and_a_later_copy_does_not(filled: Path, target: Path) -> None:
    report = back_up(filled, target, hard_link=True)
    assert set(report.written) == {CopyMethod.HARD_LINK}
    assert report.on_same_disk
    for file in (filled / "blobs").rglob("*"):
        if file.is_file():
            assert file.samefile(target / file.relative_to(filled))
    back_up(filled, target)
    assert all(path.stat().st_nlink == 1 for path in (target / "blobs").rglob("*") if path.is_file())


def test_a_damaged_catalog_leaves_the_earlier_backup_alone(filled: Path, target: Path) -> None:
    back_up(filled, target)
    before = document(target)
    content = (filled / "catalog.sqlite").read_bytes()
    (filled / "catalog.sqlite").write_bytes(content[: len(content) // 2])
    with pytest.raises(CatalogFault, match="an earlier backup is as it was; fix: stop the server and run"):
        back_up(filled, target)
    assert document(target) == before
    restore(target, target.with_name("restored"))


def test_folders_that_cannot_hold_the_backup(filled: Path, target: Path, tmp_path: Path) -> None:
    for overlapping in (filled, filled / "backup", tmp_path):
        with pytest.raises(ConfigurationFault, match="overlap"):
            back_up(filled, overlapping)
    with pytest.raises(ConfigurationFault, match="create it, or mount its disk"):
        back_up(filled, tmp_path / "absent" / "backup")
    target.mkdir()
    (target / "thesis.pdf").write_bytes(b"")
    with pytest.raises(ConfigurationFault, match="something other than a backup"):
        back_up(filled, target)
    assert [path.name for path in target.iterdir()] == ["thesis.pdf"]


def test_another_data_folder_is_refused(filled: Path, target: Path, tmp_path: Path) -> None:
    back_up(filled, target)
    shutil.copytree(filled, tmp_path / "other")
    with pytest.raises(ConfigurationFault, match="add --replace"):
        back_up(tmp_path / "other", target)
    assert back_up(tmp_path / "other", target, replace=True).document.serial == 2


async def test_a_store_without_the_earlier_content_is_refused(filled: Path, target: Path) -> None:
    """The disk of the data folder is not mounted, and a server has made an empty store there."""
    back_up(filled, target)
    before = blob_files(target)
    shutil.rmtree(filled)
    async with Store.open(filled):
        pass
    with pytest.raises(ConfigurationFault, match=r"none of the content.*is mounted, or add --replace"):
        back_up(filled, target)
    assert blob_files(target) == before
    assert back_up(filled, target, replace=True).document.blobs == 0


def test_two_backups_into_a_folder_at_once(filled: Path, target: Path) -> None:
    with (
        BackupTarget.open(target, filled, Filesystem(), replace=False),
        pytest.raises(Busy, match="another process writes a backup"),
    ):
        back_up(filled, target)


class Failing(Filesystem):
    """Fails from the n-th change on."""

    def __init__(self, number: int) -> None:
        self.left = number

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def sync(self, descriptor: int) -> None:
        self._count()
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)

    def create(self, file: Path) -> int:
        self._count()
        return super().create(file)

    def remove(self, file: Path) -> None:
        self._count()
        super().remove(file)


async def test_a_backup_that_ends_anywhere_is_the_earlier_or_the_new_one(
    filled: Path, target: Path, tmp_path: Path
) -> None:
    back_up(filled, target)
    async with Store.open(filled) as store:
        await push_image(store, "three", "1.0")
    ended = False
    number = 0
    serials = set()
    while not ended:
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(target, copy)
        try:
            back_up(filled, copy, Failing(number))
            ended = True
        except KeyboardInterrupt:
            pass
        report = restore(copy, tmp_path / f"restored-{number}")
        assert report.damaged == {}
        serials.add(report.document.serial)
        if not ended and number % 5 == 0:
            back_up(filled, copy)
            assert blob_files(copy) == blob_files(filled)
        shutil.rmtree(copy)
        shutil.rmtree(tmp_path / f"restored-{number}")
        number += 1
    assert serials == {1, 2}


def test_a_tar_has_the_files_of_a_folder(filled: Path, tmp_path: Path, target: Path) -> None:
    stream = io.BytesIO()
    back_up(filled, stream)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        names = tar.getnames()
        tar.extractall(target, filter="data")
    assert names[-2:] == ["1/sums", "backup.json"]
    assert blob_files(target) == blob_files(filled)
    assert restore(target, tmp_path / "restored").damaged == {}


async def test_a_tar_tells_of_damage_in_its_last_member(filled: Path, tmp_path: Path) -> None:
    async with Store.open(filled) as store:
        layer = (await store.get_manifest(REPOSITORY, Tag("1.0"))).layers[0].digest
    file = path_of(filled, layer)
    file.write_bytes(bytes(file.stat().st_size))
    stream = io.BytesIO()
    report = back_up(filled, stream)
    assert list(report.damaged) == [str(layer)]
    stream.seek(0)
    assert list(restore(stream, tmp_path / "restored").damaged) == [str(layer)]


def test_a_document_of_a_later_format_is_left_alone(filled: Path, target: Path) -> None:
    back_up(filled, target)
    (target / "backup.json").write_text('{"format": 2}')
    with pytest.raises(StorageDamaged, match="has format 2, which this version does not know"):
        back_up(filled, target)
