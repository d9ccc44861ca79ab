"""Lists without SQLAlchemy: those of the store, or none."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mirror.oci import Digest, Manifest, Repository, Tag, media_types
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.registry.listing import all_repositories, all_tags
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.folder_use import sole_use
from mirror.store.registry import Store
from mirror.store.store_listing import NotListed, StoreListing
from tests.support.plugins import NAME, TAG, put_blob, put_plugin


async def assert_same(store: Store, folder: Path) -> None:
    """Read everything both ways."""
    expected = {name: [tag async for tag in all_tags(store, name)] async for name in all_repositories(store)}
    with StoreListing.open(folder) as listing:
        found = listing.repositories()
        assert list(found.items()) == list(expected.items())
        for name, tags in expected.items():
            manifests = [(tag, await store.get_manifest(name, tag)) for tag in tags]
            assert [(tag, manifest.content) for tag, manifest in listing.tags(name)] == [
                (tag, manifest.content) for tag, manifest in manifests
            ]
            assert listing.absent_content(name) == await store.records.absent.absent_content(name)


@pytest.mark.parametrize("seed", range(3))
async def test_the_lists_are_those_of_the_store(seed: int, folder: Path) -> None:
    chosen = random.Random(seed)
    async with Store.open(folder) as store:
        plugin = await put_plugin(store)
        held = [plugin.digest, *(blob.digest for blob in plugin.blobs)]
        for _ in range(12):
            name = Repository(chosen.choice(["acme/driver", "acme/other", "b", "a/b-c", "a.b/c", "a/b"]))
            for blob in plugin.blobs:
                await store.mount_blob(name, blob.digest, NAME)
            manifest = _manifest(plugin, chosen.randrange(4))
            tags = [
                Tag(chosen.choice(["1.0", "1.10", "1.9", "Z", "a", "_", "latest"])) for _ in range(chosen.randrange(3))
            ]
            await store.put_manifest(name, manifest, tags)
            absent = chosen.choice([*held, *(Digest.of(bytes([number])) for number in range(3))])
            reason = chosen.choice(list(AbsenceReason))
            await store.records.absent.record_absent(
                name,
                manifest.digest,
                [AbsentContent(manifest.digest, absent, reason, chosen.choice(["", "linux/arm64"]))],
            )
        await assert_same(store, folder)
        for tag in [tag async for tag in all_tags(store, NAME)][:2]:
            await store.delete_tag(NAME, tag)
        await assert_same(store, folder)


async def test_nothing_is_left_behind(folder: Path) -> None:
    async with Store.open(folder) as store:
        await put_plugin(store)
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    with StoreListing.open(folder) as listing:
        assert listing.repositories() == {NAME: [TAG]}
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before


def _sql(statement: str) -> Callable[[DataLayout], None]:
    def spoil(layout: DataLayout) -> None:
        with closing(sqlite3.connect(layout.catalog, isolation_level=None)) as catalog:
            catalog.execute(statement)

    return spoil


def _damage_tables(layout: DataLayout) -> None:
    content = bytearray(layout.catalog.read_bytes())
    content[100:] = bytes(len(content) - 100)
    layout.catalog.write_bytes(content)


def _spoil_manifests(layout: DataLayout) -> None:
    for file in layout.root.glob("blobs/*/*/*"):
        file.write_bytes(b"{" + file.read_bytes()[1:-1] + b" ")


def _remove_blobs(layout: DataLayout) -> None:
    for file in layout.root.glob("blobs/*/*/*"):
        file.unlink()


@pytest.mark.parametrize(
    "spoil",
    [
        _sql("UPDATE alembic_version SET version_num = '9999'"),
        _sql("UPDATE alembic_version SET version_num = '0003'"),
        _sql("DELETE FROM alembic_version"),
        _sql("DROP TABLE tags"),
        _sql("DELETE FROM finished_work"),
        _damage_tables,
        _spoil_manifests,
        _remove_blobs,
        lambda layout: layout.catalog.write_bytes(b"no database"),
        lambda layout: layout.catalog.write_bytes(b""),
        lambda layout: layout.catalog.unlink(),
        lambda layout: layout.restoring.touch(),
    ],
    ids=[
        "later",
        "earlier",
        "no revision",
        "no table",
        "unfinished",
        "damaged",
        "manifests damaged",
        "manifests missing",
        "no database",
        "empty",
        "missing",
        "restoring",
    ],
)
async def test_a_store_in_another_state_is_left_to_the_store(
    spoil: Callable[[DataLayout], object], folder: Path
) -> None:
    async with Store.open(folder) as store:
        await put_plugin(store)
    spoil(DataLayout(folder))
    with pytest.raises(NotListed), StoreListing.open(folder) as listing:
        list(listing.tags(NAME))


async def test_an_unknown_repository_is_left_to_the_store(folder: Path) -> None:
    async with Store.open(folder) as store:
        await put_plugin(store)
    with pytest.raises(NotListed), StoreListing.open(folder) as listing:
        listing.absent_content(Repository("acme/unknown"))


async def test_a_folder_that_one_command_uses_alone_is_left_to_the_store(folder: Path) -> None:
    async with Store.open(folder) as store:
        await put_plugin(store)
    with sole_use(DataLayout(folder)), pytest.raises(NotListed), StoreListing.open(folder) as listing:
        listing.repositories()


async def test_a_folder_that_must_not_be_written_is_left_to_the_store(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Store.open(folder) as store:
        await put_plugin(store)
    monkeypatch.setattr("mirror.store.store_listing.can_write", lambda _root: False)
    with pytest.raises(NotListed), StoreListing.open(folder) as listing:
        listing.repositories()


async def test_a_repository_without_tags_is_listed_while_it_holds_blobs(folder: Path) -> None:
    async with Store.open(folder) as store:
        await put_blob(store, b"alone", media_types.OCTET_STREAM)
        await assert_same(store, folder)


def _manifest(plugin: Manifest, number: int) -> Manifest:
    body = json.loads(plugin.content) | {"annotations": {"number": str(number)}}
    return Manifest.parse(json.dumps(body).encode(), plugin.media_type)
