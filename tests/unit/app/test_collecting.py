"""Collection in the background of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from mirror.app.storage.collecting import COLLECTION, collect, collect_in_background
from mirror.oci.errors import Busy, CatalogFault
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.store.work_locks import StorageLocks
from tests.support.builders import push_blob
from tests.support.waiting import until

AT_ONCE = {"grace": "0s", "bytes_grace": "0s"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("mirror.app.storage.collecting._PERIOD_SECONDS", 0.001)
    return Settings.model_validate({"storage": {"path": str(tmp_path / "data"), "collection": AT_ONCE}})


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with Store.open(settings.storage.path) as opened:
        yield opened


@asynccontextmanager
async def collecting(settings: Settings, store: Store) -> AsyncIterator[None]:
    task = asyncio.create_task(collect_in_background(settings, store))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def files(settings: Settings) -> int:
    return sum(file.is_file() for file in (settings.storage.path / "blobs").rglob("*"))


async def test_what_nothing_needs_goes_without_a_command(settings: Settings, store: Store) -> None:
    await push_blob(store, b"unused")
    assert files(settings) == 1
    async with collecting(settings, store):
        await until(lambda: files(settings) == 0)


async def test_one_process_collects_at_a_time(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await push_blob(store, b"unused")
    rounds: list[str] = []
    busy = StorageLocks.__call__

    def counted(locks: StorageLocks, name: str) -> AbstractAsyncContextManager[None]:
        rounds.append(name)
        return busy(locks, name)

    async with StorageLocks(settings.storage.path)(COLLECTION):
        with pytest.raises(Busy, match="the collection is being run by another process"):
            await collect(settings)
        monkeypatch.setattr(StorageLocks, "__call__", counted)
        async with collecting(settings, store):
            await until(lambda: len(rounds) > 2)
        assert files(settings) == 1


async def test_a_failed_round_is_not_the_last_one(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await push_blob(store, b"unused")
    decide = store.records.reviews.decide

    async def failing(*_arguments: object) -> None:
        monkeypatch.setattr(store.records.reviews, "decide", decide)
        raise CatalogFault("the disk failed for a moment")

    monkeypatch.setattr(store.records.reviews, "decide", failing)
    async with collecting(settings, store):
        await until(lambda: files(settings) == 0)
