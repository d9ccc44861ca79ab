"""Tags and manifests that runs of mirror rules look up in the catalog."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import StorageDamaged
from mirror.store.catalog import rows
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from tests.support.builders import hold, plugin

NAME, OTHER = Repository("a/plugin"), Repository("b/plugin")
ONE, TWO = plugin(b"{}", b"one"), plugin(b"{}", b"two")


async def test_tags_are_found_in_their_repository(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_IN_LIMIT", 2)
    await hold(store, NAME, [b"{}", b"one"], [ONE], "1", "2", "3", "4")
    await hold(store, OTHER, [b"{}", b"two"], [TWO], "1", "5")
    wanted = [Tag(name) for name in ("4", "1", "5", "3")]
    tag_digests = store.records.sync_runs.tag_digests
    assert await tag_digests(NAME, wanted) == {Tag(name): ONE.digest for name in ("1", "3", "4")}
    assert await tag_digests(OTHER, wanted) == {Tag(name): TWO.digest for name in ("1", "5")}
    assert await tag_digests(Repository("no/such"), wanted) == {}
    assert await tag_digests(NAME, []) == {}


async def test_a_manifest_is_found_in_any_repository_under_its_type(store: Store) -> None:
    await hold(store, OTHER, [b"{}", b"one"], [ONE], "1")
    held = store.records.sync_runs.held_manifest
    found = await held(NAME, ONE.digest, ONE.media_type)
    assert isinstance(found, Manifest)
    assert found.content == ONE.content
    assert await held(NAME, ONE.digest, "application/vnd.oci.image.manifest.v1+json") is None
    assert await held(NAME, Digest.of(b"nothing"), ONE.media_type) is None


async def test_a_manifest_without_its_bytes_is_told(store: Store, folder: Path) -> None:
    await hold(store, OTHER, [b"{}", b"one"], [ONE], "1")
    DataLayout(folder).blob(ONE.digest).unlink()
    with pytest.raises(StorageDamaged):
        await store.records.sync_runs.held_manifest(NAME, ONE.digest, ONE.media_type)
