"""Pushes on a disk that is nearly full."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.filters.room_for_pushes import RoomForPushes
from mirror.oci import Digest
from mirror.oci.errors import StorageFault, StorageFull
from mirror.registry.upload import UploadBody
from mirror.store.content.kept_free import KeptFree
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_blob

MIB = 1024 * 1024


class Maker:
    """Records what room is made for."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[int] = []
        self.relieved = 0
        self._error = error

    async def relieve(self) -> None:
        self.relieved += 1
        if self._error is not None:
            raise self._error

    async def make_room(self, size_bytes: int) -> bool:
        self.asked.append(size_bytes)
        if self._error is not None:
            raise self._error
        return True


async def chunks(number: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield bytes(MIB)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data") as opened:
        yield opened


async def test_room_is_made_for_a_large_upload_before_its_first_byte(store: Store) -> None:
    maker = Maker()
    upload = await RoomForPushes(store, maker).begin_upload(REPOSITORY)
    await upload.append(chunks(9), size_bytes=9 * MIB)
    last = UploadBody(chunks(10), size_bytes=10 * MIB)
    await upload.commit(Digest.of(bytes(19 * MIB)), last)
    assert maker.asked == [9 * MIB, 10 * MIB]


async def test_the_disk_is_looked_at_during_an_upload_of_unknown_size(store: Store) -> None:
    maker = Maker()
    registry = RoomForPushes(store, maker)
    upload = await registry.begin_upload(REPOSITORY)
    await upload.append(chunks(20))
    assert (maker.relieved, maker.asked) == (2, [])
    await (await registry.resume_upload(REPOSITORY, upload.id)).commit(Digest.of(bytes(20 * MIB)))


async def test_small_pushes_ask_for_nothing(store: Store) -> None:
    maker = Maker()
    await push_blob(RoomForPushes(store, maker), bytes(1000))
    assert (maker.relieved, maker.asked) == (0, [])


async def test_a_failed_eviction_does_not_fail_a_push_that_fits(store: Store) -> None:
    registry = RoomForPushes(store, Maker(StorageFault("no")))
    upload = await registry.begin_upload(REPOSITORY)
    await upload.append(chunks(9), size_bytes=9 * MIB)
    await upload.append(chunks(9))
    assert upload.offset == 18 * MIB


async def test_a_full_disk_is_relieved_before_an_upload_is_refused(tmp_path: Path) -> None:
    maker = Maker()
    async with Store.open(tmp_path / "data", kept_free=KeptFree(2**60)) as full:
        with pytest.raises(StorageFull):
            await RoomForPushes(full, maker).begin_upload(REPOSITORY)
    assert maker.relieved == 1
