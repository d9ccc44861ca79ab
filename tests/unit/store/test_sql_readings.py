"""Readings of layers, in the catalog."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mirror.store.records import sql_readings
from mirror.store.registry import Store
from tests.support.builders import ABSENT, push_image
from tests.support.clocks import HandClock


async def test_a_document_is_kept_with_the_manifest_and_its_version(folder: Path) -> None:
    async with Store.open(folder) as store:
        digest = (await push_image(store, "a")).digest
        assert await store.records.readings.reading(digest, "1") is None
        await store.records.readings.record_reading(digest, "1", b"first")
    async with Store.open(folder) as store:
        assert await store.records.readings.reading(digest, "1") == b"first"
        assert await store.records.readings.reading(digest, "2") is None
        await store.records.readings.record_reading(digest, "2", b"second")
        assert await store.records.readings.reading(digest, "1") is None
        assert await store.records.readings.reading(digest, "2") == b"second"


async def test_of_what_is_not_held_nothing_is_kept(store: Store) -> None:
    await store.records.readings.record_reading(ABSENT, "1", b"document")
    assert await store.records.readings.reading(ABSENT, "1") is None


async def test_no_cache_ends_because_a_reading_is_recorded(store: Store) -> None:
    digest = (await push_image(store, "a")).digest
    before = (await store.monitoring.contents()).generation_changes
    await store.records.readings.record_reading(digest, "1", b"document")
    assert (await store.monitoring.contents()).generation_changes == before


async def test_a_document_goes_when_the_bytes_of_the_manifest_do(store: Store, folder: Path) -> None:
    digest = (await push_image(store, "a")).digest
    await store.records.readings.record_reading(digest, "1", b"document")
    with sqlite3.connect(folder / "catalog.sqlite") as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("DELETE FROM manifests")
        connection.execute("DELETE FROM blobs WHERE digest = ?", (str(digest),))
    connection.close()
    assert await store.records.readings.reading(digest, "1") is None


async def test_the_oldest_documents_make_room_for_new_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_readings, "MOST_BYTES", 25)
    clock = HandClock()
    async with Store.open(folder, clock=clock) as store:
        digests = [(await push_image(store, name)).digest for name in ("a", "b", "c")]
        for digest in (*digests, digests[0]):
            clock.advance(seconds=1)
            await store.records.readings.record_reading(digest, "1", bytes(10))
        assert [await store.records.readings.reading(digest, "1") is not None for digest in digests] == [
            True,
            False,
            True,
        ]
