"""Removal of many blobs at a time has the result of decisions one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from mirror.oci import Digest, Repository, Tag
from mirror.records.lifecycle.reviews import CollectionRules, DecidedReviews, Grace
from mirror.store.catalog.tables.collection_tables import doomed_files, reviews
from mirror.store.catalog.tables.content_tables import blobs, manifests, repositories, repository_blobs
from mirror.store.collection import sql_reviews
from mirror.store.registry import Store
from tests.support.builders import OTHER, REPOSITORY, push_blob, push_image
from tests.support.clocks import HandClock

TABLES = (repositories, repository_blobs, manifests, blobs, doomed_files, reviews)
THIRD = Repository("third/plugin")
RULES = CollectionRules(Grace())


@asynccontextmanager
async def filled(folder: Path) -> AsyncIterator[Store]:
    """Open a store in which a day has passed since much was pushed, mounted and deleted."""
    clock = HandClock()
    async with Store.open(folder, clock=clock) as store:
        kept = await push_image(store, "kept", "1")
        gone = [await push_image(store, f"gone {number}", f"gone-{number}") for number in range(4)]
        elsewhere = await push_image(store, "elsewhere", "1", repository=OTHER)
        for blob in (*kept.blobs, *gone[0].blobs):
            await store.mount_blob(THIRD, blob.digest, REPOSITORY)
        for number in range(3):
            await push_blob(store, f"alone {number}".encode(), OTHER)
        await push_blob(store, b"uploading", Repository("up/loading"))
        for image in gone:
            await store.delete_manifest(REPOSITORY, image.digest)
        await store.delete_manifest(OTHER, elsewhere.digest)
        clock.advance(hours=25)
        yield store


async def rows_of(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    def read(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
        return {table.name: sorted(map(tuple, connection.execute(select(table))), key=repr) for table in TABLES}

    return await store.services.catalog.read(read)


async def decided(store: Store, rules: CollectionRules, most: int) -> DecidedReviews:
    total = DecidedReviews()
    while (step := await store.records.reviews.decide(rules, most)).decided:
        total += step
    return total


@pytest.mark.parametrize("most", [3, 100])
@pytest.mark.parametrize("uploading", [(), ("up/loading",), (REPOSITORY.name,)])
async def test_many_at_a_time_leave_what_decisions_one_by_one_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, uploading: tuple[str, ...]
) -> None:
    rules = replace(RULES, uploading=uploading)
    async with filled(tmp_path / "together") as store:
        together = await decided(store, rules, most), await rows_of(store)
    monkeypatch.setattr(sql_reviews, "remove_unneeded", lambda _connection, due, *_: (due, DecidedReviews()))
    async with filled(tmp_path / "one-by-one") as store:
        one_by_one = await decided(store, rules, most), await rows_of(store)
    assert together[1] == one_by_one[1]
    assert (together[0].removed, together[0].doomed_bytes) == (one_by_one[0].removed, one_by_one[0].doomed_bytes)


async def test_a_repository_ends_with_its_last_blob(tmp_path: Path) -> None:
    async with filled(tmp_path / "data") as store:
        await decided(store, RULES, 100)
        left = (await rows_of(store))["repositories"]
    assert [name for _, name in left] == [REPOSITORY.name]


async def test_blobs_of_a_kept_manifest_and_of_other_repositories_stay(tmp_path: Path) -> None:
    async with filled(tmp_path / "data") as store:
        await decided(store, RULES, 100)
        kept = await store.get_manifest(REPOSITORY, Tag("1"))
        for blob in kept.blobs:
            assert (await store.stat_blob(REPOSITORY, blob.digest)).size_bytes == blob.size_bytes
        held = {Digest.parse(row[0]) for row in (await rows_of(store))["blobs"]}
    assert held == {kept.digest, *(blob.digest for blob in kept.blobs)}
