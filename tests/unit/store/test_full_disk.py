"""A disk that is really full: a small tmpfs. Root is needed to mount it."""

import os
import random
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci import Descriptor, Digest, Manifest, Tag
from mirror.oci.errors import NotFound, StorageFull
from mirror.registry.port import Registry
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, in_chunks, manifest_of, push_blob, read_blob
from tests.unit.store.disks import blob_files, upload_files

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a small tmpfs is mounted: run as root")

INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    point = tmp_path / "disk"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)


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
