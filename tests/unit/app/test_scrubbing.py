"""The background scrub of a server runs when it is due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mirror.app.storage.integrity import scrubbing
from mirror.records.lifecycle.damage import ScrubState
from mirror.settings import load
from mirror.store.registry import Store
from tests.support.builders import push_blob
from tests.support.damage import file_of, flip_a_bit

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "_DUE_PERIOD_SECONDS", 0.001)


@asynccontextmanager
async def scrubbed(folder: Path, store: Store, every: str = "30d") -> AsyncIterator[None]:
    settings = load(flags={"storage": {"path": str(folder), "scrub": {"every": every}}})
    work = asyncio.create_task(scrubbing.scrub_in_background(settings, store))
    yield
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def finished(store: Store) -> ScrubState:
    async with asyncio.timeout(30):
        while True:
            state = (await store.records.scrubs.scrubs()).get(scrubbing.BACKGROUND)
            if state is not None and state.finished_at is not None:
                return state
            await asyncio.sleep(0.01)


async def test_a_first_scrub_is_due_at_once(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "data") as store:
        blob = await push_blob(store, b"content")
        flip_a_bit(file_of(tmp_path / "data", blob.digest))
        async with scrubbed(tmp_path / "data", store):
            state = await finished(store)
        assert (state.files, state.damaged) == (1, 1)


@pytest.mark.parametrize(("ago", "is_due"), [(timedelta(days=29), False), (timedelta(days=31), True)])
async def test_a_scrub_of_a_command_counts_too(tmp_path: Path, ago: timedelta, is_due: bool) -> None:
    async with Store.open(tmp_path / "data") as store:
        ended = replace(ScrubState(NOW - ago), finished_at=NOW - ago, last_finished_at=NOW - ago)
        await store.records.scrubs.keep_scrub(scrubbing.COMMAND, ended)
        assert await scrubbing._is_due(store, timedelta(days=30)) == is_due


async def test_no_scrub_runs_if_there_is_to_be_none(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "data") as store:
        settings = load(flags={"storage": {"path": str(tmp_path / "data"), "scrub": {"every": "never"}}})
        async with asyncio.timeout(10):
            await scrubbing.scrub_in_background(settings, store)
