"""Retention of pushed tags in the background of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.app.services import open_store
from mirror.app.storage import retiring
from mirror.oci.errors import CatalogFault
from mirror.records.lifecycle.reviews import Grace
from mirror.registry.listing import all_tags
from mirror.settings import Settings, load
from mirror.settings.storage.collection_settings import CollectionSettings
from mirror.store.records.tags.sql_pushed_tags import SqlPushedTags
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_image
from tests.support.waiting import until

NO_GRACE = Grace.everywhere(timedelta(0))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(
        flags={
            "storage": {"path": str(tmp_path / "data")},
            "repositories": [{"pattern": "contiv/*", "keep": {"newest": 1}}],
        }
    )


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with open_store(settings) as opened:
        for tag in ("1.0", "2.0"):
            await push_image(opened, tag, tag)
        yield opened


@asynccontextmanager
async def in_background(settings: Settings, store: Store) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(retiring.retire_in_background(settings, store, NO_GRACE))
    yield task
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def tags_of(store: Store) -> list[str]:
    return [tag.name async for tag in all_tags(store, REPOSITORY)]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The number of looks at whether retention is due, without pauses between them."""
    found: list[object] = []
    monkeypatch.setattr(retiring, "_LOOK_SECONDS", 0.0)
    noted = SqlPushedTags.note_recording

    async def note(tags: SqlPushedTags) -> None:
        found.append(None)
        await noted(tags)

    monkeypatch.setattr(SqlPushedTags, "note_recording", note)
    return found


async def test_it_runs_when_the_server_starts_and_not_again_that_day(settings, store, looks):
    async with in_background(settings, store):
        await until(lambda: len(looks) > 1)
        assert await tags_of(store) == ["2.0"]
        ran_at = (await store.records.long_work.find("retention")).finished_at
        await push_image(store, "3.0", "3.0")
        seen = len(looks)
        await until(lambda: len(looks) > seen + 2)
        assert await tags_of(store) == ["2.0", "3.0"]
        assert (await store.records.long_work.find("retention")).finished_at == ran_at


async def test_without_rules_nothing_is_noted(settings, store, looks):
    without = settings.model_copy(update={"repositories": ()})
    async with in_background(without, store):
        await until(lambda: len(looks) > 1)
    assert (await store.records.long_work.find("retention")).finished_at is None


async def test_a_server_that_does_not_collect_drops_nothing(settings, store, looks):
    disabled = CollectionSettings(enabled=False)
    storage = settings.storage.model_copy(update={"collection": disabled})
    async with in_background(settings.model_copy(update={"storage": storage}), store):
        await until(lambda: len(looks) > 1)
    assert await tags_of(store) == ["1.0", "2.0"]


async def test_a_failed_round_does_not_end_it(settings, store, looks, monkeypatch):
    failures = [CatalogFault("the disk is gone")]
    repositories = store.records.pushed_tags.repositories

    async def failing() -> object:
        if failures:
            raise failures.pop()
        return await repositories()

    monkeypatch.setattr(store.records.pushed_tags, "repositories", failing)
    async with in_background(settings, store):
        await until(lambda: len(looks) > 2)
        assert await tags_of(store) == ["2.0"]
