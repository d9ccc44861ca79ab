"""Deletions by an operator, also of what pull-through has not completed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mirror.lifecycle.collector import Collector
from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ManifestUnknown, NotFound, RepositoryUnknown
from mirror.records.lifecycle.deletions import RepositoryContent
from mirror.records.lifecycle.reviews import CollectionRules, Grace
from mirror.records.origins import Origin
from mirror.runtime.clock import SystemClock
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, plugin, push_blob, push_image, read_blob

CLOCK = SystemClock()
PULLED = plugin(b"{}", b"a layer that has not arrived")


async def keep_incomplete(store: Store, tag: str) -> None:
    now = CLOCK.now()
    origin = Origin("hub", REPOSITORY, PULLED.digest, now, now)
    await store.records.incomplete.keep_incomplete(REPOSITORY, PULLED, origin, Tag(tag))


async def collect_all(store: Store) -> None:
    rules = CollectionRules(Grace(), untagged_default=timedelta(0))
    await Collector(store.records.reviews, rules, store.uploads.repositories, CLOCK).collect_now()


async def test_a_tag_of_an_incomplete_manifest_is_deleted(store: Store) -> None:
    await keep_incomplete(store, "1.0")
    deletion = await store.records.deletions.delete(REPOSITORY, Tag("1.0"))
    assert deletion.digest == PULLED.digest
    with pytest.raises(RepositoryUnknown):
        await store.records.deletions.plan(REPOSITORY, Tag("1.0"))
    await collect_all(store)
    assert await store.records.incomplete.incomplete(REPOSITORY, PULLED.digest) is None


async def test_an_incomplete_manifest_is_deleted_with_its_tags(store: Store) -> None:
    await keep_incomplete(store, "1.0")
    await keep_incomplete(store, "latest")
    deletion = await store.records.deletions.delete(REPOSITORY, PULLED.digest)
    assert list(deletion.tags) == [Tag("1.0"), Tag("latest")]
    assert await store.records.incomplete.incomplete(REPOSITORY, PULLED.digest) is None
    assert await store.records.origins.origin(REPOSITORY, Tag("1.0")) is None


async def test_an_emptied_repository_is_nobodys(store: Store) -> None:
    await keep_incomplete(store, "1.0")
    await push_blob(store, b"{}")
    while await store.records.deletions.empty(REPOSITORY, CLOCK.now(), 1):
        pass
    with pytest.raises(RepositoryUnknown):
        await store.records.deletions.content(REPOSITORY)
    await push_blob(store, b"pushed next")
    assert await store.records.origins.is_ours(REPOSITORY)


async def test_what_is_pushed_while_a_repository_is_emptied_stays(store: Store) -> None:
    await push_image(store, "before", "1.0")
    began = CLOCK.now()
    later = await push_image(store, "later", "2.0")
    while await store.records.deletions.empty(REPOSITORY, began, 1):
        pass
    assert await store.records.deletions.content(REPOSITORY) == RepositoryContent(1, 1, 2)
    for blob in (later.config, *later.layers):
        assert await read_blob(store, blob.digest)


async def test_content_of_another_repository_stays(store: Store) -> None:
    other = Repository("other/name")
    await push_image(store, "shared", "1.0")
    kept = await push_image(store, "shared", "1.0", repository=other)
    await store.records.deletions.delete(REPOSITORY, kept.digest)
    await collect_all(store)
    assert await read_blob(store, kept.layers[0].digest, other)
    with pytest.raises(NotFound):
        await store.get_manifest(REPOSITORY, kept.digest)


@pytest.mark.parametrize("target", [Tag("none"), Digest.of(b"none")])
async def test_what_is_not_there_is_named(store: Store, target: Tag | Digest) -> None:
    await push_image(store, "image", "1.0")
    with pytest.raises(ManifestUnknown, match=f"{REPOSITORY} has no .* {target}"):
        await store.records.deletions.delete(REPOSITORY, target)
