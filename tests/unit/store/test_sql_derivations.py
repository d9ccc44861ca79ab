"""Records of derived plugins, in the catalog."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mirror.oci import Digest
from mirror.records.derivations import Derivation
from mirror.store.registry import Store
from tests.support.builders import ABSENT, push_image

MADE = Derivation(
    "hub/store/contiv/v2plugin",
    Digest.of(b"original"),
    "rule contiv",
    datetime(2026, 3, 1, 12, tzinfo=UTC),
    {"env": {"role": "worker"}, "args": ["a"], "fix": True},
    ('env role: "master" -> "worker"',),
)


async def test_it_is_kept_with_the_manifest(folder: Path) -> None:
    async with Store.open(folder) as store:
        digest = (await push_image(store, "a", "1")).digest
        assert await store.records.derivations.derivation(digest) is None
        await store.records.derivations.record_derivation(digest, MADE)
    async with Store.open(folder) as store:
        assert await store.records.derivations.derivation(digest) == MADE
    with sqlite3.connect(folder / "catalog.sqlite") as database:
        database.execute("PRAGMA foreign_keys=ON")
        for table in ("tags", "manifests", "repository_blobs", "blobs"):
            database.execute(f"DELETE FROM {table}")
    database.close()
    async with Store.open(folder) as store:
        assert await store.records.derivations.derivation(digest) is None


async def test_whoever_made_it_first_is_remembered(store: Store) -> None:
    digest = (await push_image(store, "a", "1")).digest
    await store.records.derivations.record_derivation(digest, MADE)
    await store.records.derivations.record_derivation(digest, replace(MADE, made_by="user root"))
    assert await store.records.derivations.derivation(digest) == MADE
    other = replace(MADE, made_by="user root", original=Digest.of(b"another"))
    await store.records.derivations.record_derivation(digest, other)
    assert await store.records.derivations.derivation(digest) == other


async def test_of_what_is_not_held_nothing_is_kept(store: Store) -> None:
    await store.records.derivations.record_derivation(ABSENT, MADE)
    assert await store.records.derivations.derivation(ABSENT) is None
