"""A disk that is really full: a small tmpfs. Root is needed to mount it."""

import os
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci import Descriptor, Digest, Manifest, Tag
from mirror.oci.errors import NotFound, StorageFull
from mirror.registry.port import Registry
from mirror.store.content.kept_free import KeptFree
from mirror.store.registry import Store
from tests.harness.disks import fill_inodes
from tests.harness.disks import small_disk as small_disk_of
from tests.support.builders import REPOSITORY, in_chunks, manifest_of, push_blob, read_blob
from tests.unit.store.disks import blob_files, upload_files

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a small tmpfs is mounted: run as root")

INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def few_inodes(tmp_path: Path) -> Iterator[Path]:
    """A disk with space, and with inodes for an empty store and 200 files."""
    with small_disk_of(tmp_path / "disk", 64 * 1024 * 1024, inodes=800) as disk:
        yield disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    with small_disk_of(tmp_path / "disk", 8 * 1024 * 1024) as disk:
        yield disk


def fill(disk: Path, *, free_bytes: int = 0) -> Path:
    """Fill the disk except for ``free_bytes``. Returns the file that takes the space."""
    ballast = disk / "ballast"
    left = os.statvfs(disk)
    size = left.f_bavail * left.f_frsize - free_bytes
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return ballast


async def test_a_disk_that_fills_up_loses_nothing(small_disk: Path) -> None:
    contents = random.Random(13)
    kept: list[Descriptor] = []
    async with Store.open(small_disk / "data") as store:
        for _ in range(40):
            content = contents.randbytes(300_000)
            upload = await store.begin_upload(REPOSITORY)
            try:
                await upload.append(in_chunks(content, 64_000))
                kept.append(await upload.commit(Digest.of(content)))
            except StorageFull:
                await upload.cancel()
                break
        else:
            pytest.fail("40 times 300 000 bytes fitted into 8 MiB")

        assert len(kept) > 10
        assert sorted(blob.digest.hex for blob in kept) == blob_files(small_disk / "data")
        assert upload_files(small_disk / "data") == []

    async with Store.open(small_disk / "data") as store:
        for blob in kept:
            assert len(await read_blob(store, blob.digest)) == 300_000


@pytest.mark.parametrize("free_bytes", [0, 4096, 8192, 16384, 32768, 65536])
async def test_a_full_disk_at_any_step(small_disk: Path, free_bytes: int) -> None:
    data = small_disk / "data"
    async with Store.open(data) as store:
        acknowledged = [await push_index(store, 0)]
        ballast = fill(small_disk, free_bytes=free_bytes)
        for number in range(1, 200):
            try:
                acknowledged.append(await push_index(store, number))
            except StorageFull:
                break
        else:
            pytest.fail("200 manifests fitted onto a full disk")

        refused = an_index(number)
        for target in (refused.digest, Tag(f"v{number}")):
            with pytest.raises(NotFound):
                await store.get_manifest(REPOSITORY, target)
        assert blob_files(data) == sorted(manifest.digest.hex for manifest in acknowledged)
        with pytest.raises(StorageFull):
            await push_blob(store, bytes(200_000))
        for manifest in acknowledged:
            assert await store.get_manifest(REPOSITORY, manifest.digest) == manifest

        ballast.unlink()
        acknowledged.append(await push_index(store, number))
        await store.uploads.expire(timedelta(days=-1))
        assert upload_files(data) == []

    async with Store.open(data) as store:
        for number, manifest in enumerate(acknowledged):
            assert await store.get_manifest(REPOSITORY, Tag(f"v{number}")) == manifest


async def test_a_full_disk_is_still_served_after_a_restart(small_disk: Path) -> None:
    async with Store.open(small_disk / "data") as store:
        pushed = [await push_index(store, number) for number in range(3)]
    fill(small_disk)

    for number, manifest in enumerate(pushed):
        async with Store.open(small_disk / "data") as store:
            assert await store.get_manifest(REPOSITORY, Tag(f"v{number}")) == manifest
            await store.delete_manifest(REPOSITORY, manifest.digest)


@pytest.mark.parametrize("free_bytes", [0, 4096, 16384, 65536])
async def test_a_store_is_not_created_on_a_full_disk(small_disk: Path, free_bytes: int) -> None:
    ballast = fill(small_disk, free_bytes=free_bytes)
    with pytest.raises(StorageFull):
        async with Store.open(small_disk / "data"):
            pass

    ballast.unlink()
    async with Store.open(small_disk / "data") as store:
        await push_index(store, 1)


def an_index(number: int) -> Manifest:
    """Return a manifest that needs no blobs."""
    return manifest_of({"manifests": [], "annotations": {"number": str(number)}}, INDEX)


async def push_index(registry: Registry, number: int) -> Manifest:
    manifest = an_index(number)
    await registry.put_manifest(REPOSITORY, manifest, [Tag(f"v{number}")])
    return manifest


async def test_inodes_are_kept_for_others(few_inodes: Path) -> None:
    async with Store.open(few_inodes / "data", kept_free=KeptFree(inodes=1000)) as store:

        async def push_many() -> None:
            for number in range(800):
                await push_blob(store, b"%d" % number)

        with pytest.raises(StorageFull, match=r"^\d+ of 800 inodes .* are free .* 80 are kept free"):
            await push_many()
        assert len(blob_files(few_inodes / "data")) > 50
        assert os.statvfs(few_inodes).f_favail >= 80
        with pytest.raises(StorageFull, match="inodes"):
            await store.monitoring.require_room()
        await push_index(store, 1)  # the kept part is for manifests


async def test_without_any_inode_the_store_opens_serves_and_deletes(few_inodes: Path) -> None:
    data = few_inodes / "data"
    async with Store.open(data) as store:
        pushed = [await push_index(store, number) for number in range(3)]
    fill_inodes(few_inodes / "ballast")

    for number, manifest in enumerate(pushed):
        async with Store.open(data) as store:
            assert await store.get_manifest(REPOSITORY, Tag(f"v{number}")) == manifest
            fill_inodes(few_inodes / f"ballast{number}")
            with pytest.raises(StorageFull, match="inode"):
                await store.monitoring.require_room()
            with pytest.raises(StorageFull, match=r"no inode is left|inodes .* are free"):
                await push_blob(store, b"content")
            await store.uploads.expire(timedelta(days=-1))
            await store.delete_manifest(REPOSITORY, manifest.digest)
        for file in (few_inodes / f"ballast{number}").iterdir():
            file.unlink()


async def test_a_store_that_cannot_create_its_files_names_the_inodes(few_inodes: Path) -> None:
    data = few_inodes / "data"
    async with Store.open(data):
        pass
    for file in data.glob("reserve-*"):
        file.unlink()
    fill_inodes(few_inodes / "ballast")
    with pytest.raises(StorageFull, match=rf"{data}/catalog.sqlite.* \(no inode is left\); fix: "):
        async with Store.open(data):
            pass
