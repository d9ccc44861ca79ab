"""Tags that neither move nor are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.oci import Repository, Tag
from mirror.oci.errors import Protected
from mirror.records.origins import Origin
from mirror.runtime.current_rule import working_for
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, plugin, push_image
from tests.support.clocks import START

TAG = Tag("v1")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    def fixed(repository: Repository, tag: Tag) -> bool:
        return repository == REPOSITORY and tag.name.startswith("v")

    async with Store.open(tmp_path / "data", immutable=fixed) as opened:
        yield opened


async def test_a_push_of_other_content_is_refused_and_the_tag_stays(store: Store):
    first = await push_image(store, "one", "v1")
    with pytest.raises(Protected, match=f"v1 is immutable and points to {first.digest}; fix: push under another tag"):
        await push_image(store, "two", "v1")
    assert (await store.resolve(REPOSITORY, TAG)).digest == first.digest


async def test_a_push_of_several_tags_moves_none_if_one_is_immutable(store: Store):
    first = await push_image(store, "one", "v1", "latest")
    with pytest.raises(Protected):
        await push_image(store, "two", "latest", "v1")
    assert (await store.resolve(REPOSITORY, Tag("latest"))).digest == first.digest


async def test_the_same_content_may_be_pushed_again(store: Store):
    first = await push_image(store, "one", "v1")
    await push_image(store, "one", "v1")
    assert (await store.resolve(REPOSITORY, TAG)).digest == first.digest


async def test_other_tags_and_other_repositories_move(store: Store):
    other = Repository("other/app")
    for name in ("one", "two"):
        await push_image(store, name, "latest")
        await push_image(store, name, "v1", repository=other)


async def test_of_two_pushes_at_the_same_time_one_wins_and_the_other_is_told(store: Store):
    results = await asyncio.gather(*(push_image(store, name, "v1") for name in ("one", "two")), return_exceptions=True)
    (won,) = [each for each in results if not isinstance(each, BaseException)]
    (lost,) = [each for each in results if isinstance(each, BaseException)]
    assert isinstance(lost, Protected)
    assert (await store.resolve(REPOSITORY, TAG)).digest == won.digest


async def test_a_mirror_rule_does_not_move_it_either(store: Store):
    await push_image(store, "one", "v2")
    with working_for("rule"):
        await push_image(store, "one", "v1")
        with pytest.raises(Protected):
            await push_image(store, "two", "v1")
    others = await store.records.tag_owners.other_tags(REPOSITORY)
    assert others.immutable == {Tag("v1"), Tag("v2")}


async def test_it_is_not_deleted_nor_is_its_manifest(store: Store):
    pushed = await push_image(store, "one", "v1", "latest")
    with pytest.raises(Protected, match="v1 is immutable"):
        await store.delete_tag(REPOSITORY, TAG)
    with pytest.raises(Protected, match="v1 is immutable"):
        await store.delete_manifest(REPOSITORY, pushed.digest)
    with pytest.raises(Protected, match="v1 is immutable"):
        await store.delete_blob(REPOSITORY, pushed.blobs[0].digest)
    with pytest.raises(Protected, match="v1 is immutable"):
        await store.records.deletions.delete(REPOSITORY, TAG)
    with pytest.raises(Protected, match="v1 is immutable"):
        await store.records.deletions.content(REPOSITORY)
    await store.delete_tag(REPOSITORY, Tag("latest"))


async def test_a_pulled_through_tag_follows_its_upstream(store: Store):
    for layer in (b"one", b"two"):
        manifest = plugin(b"{}", layer)
        origin = Origin("hub", REPOSITORY, manifest.digest, checked_at=START, asked_at=START)
        await store.records.incomplete.keep_incomplete(REPOSITORY, manifest, origin, TAG)
        known = await store.records.origins.origin(REPOSITORY, TAG)
        assert known is not None
        assert known.digest == manifest.digest
    assert await store.records.origins.forget(REPOSITORY, TAG)


async def test_pull_through_does_not_move_a_tag_that_was_pushed(store: Store):
    first = await push_image(store, "one", "v1")
    manifest = plugin(b"{}", b"two")
    origin = Origin("hub", REPOSITORY, manifest.digest, checked_at=START, asked_at=START)
    await store.records.incomplete.keep_incomplete(REPOSITORY, manifest, origin, TAG)
    assert (await store.resolve(REPOSITORY, TAG)).digest == first.digest
    assert await store.records.origins.origin(REPOSITORY, TAG) is None


async def test_a_push_over_a_pulled_through_tag_fixes_it(store: Store):
    manifest = plugin(b"{}", b"one")
    origin = Origin("hub", REPOSITORY, manifest.digest, checked_at=START, asked_at=START)
    await store.records.incomplete.keep_incomplete(REPOSITORY, manifest, origin, TAG)
    await push_image(store, "one", "v1")
    with pytest.raises(Protected):
        await push_image(store, "two", "v1")
