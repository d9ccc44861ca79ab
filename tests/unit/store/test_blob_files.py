import asyncio
import random
from pathlib import Path

import pytest

from mirror.oci import Tag
from mirror.oci.errors import StorageDamaged
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from mirror.wire.ranges import RangeRequest
from tests.support.builders import REPOSITORY, push_blob, push_image, read_blob
from tests.support.waiting import until
from tests.unit.store.disks import open_files

CONTENT = random.Random(3).randbytes(2 * 1024 * 1024 + 5)


@pytest.fixture
def layout(folder: Path) -> DataLayout:
    return DataLayout(folder)


async def test_a_changed_byte_is_found_before_the_last_chunk_leaves(store: Store, layout: DataLayout) -> None:
    pushed = await push_blob(store, CONTENT)
    with layout.blob(pushed.digest).open("r+b") as file:
        file.seek(100)
        file.write(b"damage")

    received = bytearray()

    async def read() -> None:
        async with store.open_blob(REPOSITORY, pushed.digest) as blob:
            async for chunk in blob:
                received.extend(chunk)

    with pytest.raises(StorageDamaged, match="its bytes have another digest"):
        await read()
    assert len(received) < len(CONTENT)


async def test_a_shorter_file(store: Store, layout: DataLayout) -> None:
    pushed = await push_blob(store, CONTENT)
    layout.blob(pushed.digest).write_bytes(CONTENT[:-1])

    with pytest.raises(StorageDamaged, match=f"has {len(CONTENT) - 1} bytes"):
        await read_blob(store, pushed.digest)
    with pytest.raises(StorageDamaged):
        await read_blob(store, pushed.digest, part=RangeRequest(0, 0))


async def test_a_file_that_is_cut_while_it_is_read(store: Store, layout: DataLayout) -> None:
    pushed = await push_blob(store, CONTENT)

    async def read() -> None:
        async with store.open_blob(REPOSITORY, pushed.digest) as blob:
            async for _ in blob:
                layout.blob(pushed.digest).write_bytes(b"")

    with pytest.raises(StorageDamaged, match="ends at"):
        await read()


async def test_a_file_that_is_gone(store: Store, layout: DataLayout) -> None:
    pushed = await push_blob(store, CONTENT)
    layout.blob(pushed.digest).unlink()

    with pytest.raises(StorageDamaged, match="is missing from the disk"):
        await read_blob(store, pushed.digest)


async def test_pushing_again_mends_a_damaged_blob(store: Store, layout: DataLayout) -> None:
    pushed = await push_blob(store, CONTENT)
    layout.blob(pushed.digest).write_bytes(b"damage")

    await push_blob(store, CONTENT)

    assert await read_blob(store, pushed.digest) == CONTENT


@pytest.mark.parametrize("damage", [b"", b"{", b"x" * 300])
async def test_a_damaged_manifest(folder: Path, layout: DataLayout, damage: bytes) -> None:
    async with Store.open(folder) as store:
        pushed = await push_image(store, "image", "latest")
    layout.blob(pushed.digest).write_bytes(damage)

    async with Store.open(folder) as store:
        for target in (Tag("latest"), pushed.digest):
            with pytest.raises(StorageDamaged):
                await store.get_manifest(REPOSITORY, target)


async def test_a_manifest_of_the_same_size_but_other_bytes(folder: Path, layout: DataLayout) -> None:
    async with Store.open(folder) as store:
        pushed = await push_image(store, "image", "latest")
    layout.blob(pushed.digest).write_bytes(pushed.content.replace(b"schemaVersion", b"schemaversion"))

    async with Store.open(folder) as store:
        with pytest.raises(StorageDamaged):
            await store.get_manifest(REPOSITORY, Tag("latest"))


async def test_an_open_blob_outlives_its_file(store: Store, layout: DataLayout) -> None:
    pushed = await push_blob(store, CONTENT)

    async with store.open_blob(REPOSITORY, pushed.digest) as blob:
        await store.delete_blob(REPOSITORY, pushed.digest)
        layout.blob(pushed.digest).unlink()
        assert blob.file is not None
        assert blob.file.read() == CONTENT
        assert b"".join([chunk async for chunk in blob]) == CONTENT


async def test_a_closed_blob_holds_no_file(folder: Path, store: Store) -> None:
    pushed = await push_blob(store, CONTENT)
    opened = []

    async def read_a_little() -> None:
        async with store.open_blob(REPOSITORY, pushed.digest) as blob:
            async for _ in blob:
                opened.append(open_files(folder / "blobs"))
                await asyncio.Event().wait()

    for number in range(20):
        task = asyncio.create_task(read_a_little())
        await until(lambda number=number: len(opened) > number)  # type: ignore[misc]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert len(opened) == 20
    assert all(opened)
    assert open_files(folder / "blobs") == []
