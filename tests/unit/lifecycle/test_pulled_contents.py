"""The content that pull-through brought, counted and evicted in a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from mirror.lifecycle.collector import Collector
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import NotFound
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.changes.change import Change, ChangeKind
from mirror.records.lifecycle.pull_counts import PullCount
from mirror.records.lifecycle.pulled_content import BudgetRecord, PulledArtifact, PulledContent
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import CollectionRules, Grace
from mirror.runtime.current_rule import RULE
from mirror.store.catalog.tables.access_tables import decisions, verdicts
from mirror.store.catalog.tables.collection_tables import content_holders, held_content, pins
from mirror.store.catalog.tables.content_tables import derivations
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.support.builders import hold, index, plugin, push_blob, read_blob
from tests.support.clocks import START, HandClock
from tests.support.multi_platform import AMD64, BLOBS, IMAGES, INDEX, PROOFS
from tests.support.pull_through import NAME, TAG, Plugin, World, pull, pulling

OTHER = Repository("acme/other")
OLD, SAME, BASE = b"{}", b'{"a":1}', b"base layer" * 1000
ALL = PageRequest(limit=100)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(tmp_path: Path, clock: HandClock) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data", clock=clock, keeps_changes=True) as opened:
        yield opened


@pytest.fixture
async def world(store: Store, clock: HandClock) -> AsyncIterator[World]:
    async with pulling(store, clock=clock) as opened:
        yield opened


async def count(store: Store, *upstreams: str, downloading: Sequence[str] = ()) -> PulledContent:
    return await store.records.pulled_contents.count(lambda _: upstreams or ("hub",), downloading)


def used(content: PulledContent) -> int:
    return sum(content.sizes)


def freed(content: PulledContent, artifact: PulledArtifact) -> int:
    """Return the bytes that an artifact alone needs."""
    others = {number for one in content.artifacts if one is not artifact for number in one.contents}
    return sum(content.sizes[number] for number in artifact.contents if number not in others)


def tags(content: PulledContent) -> list[tuple[str, ...]]:
    return sorted(artifact.tags for artifact in content.artifacts)


async def collect(store: Store, clock: HandClock) -> int:
    """Collect what was evicted, and return the number of bytes removed."""
    rules = CollectionRules(Grace(timedelta(days=9999), {ReviewCause.EVICTED: timedelta(0)}, timedelta(0)))
    result = await Collector(store.records.reviews, rules, store.uploads.repositories, clock).collect()
    return result.freed.size_bytes


async def evict(store: Store, *artifacts: PulledArtifact) -> int:
    return len(await store.records.pulled_contents.evict(artifacts))


async def add(store: Store, table: object, **row: object) -> None:
    await store.services.catalog.write(lambda connection: connection.execute(insert(table), row))  # type: ignore[arg-type]


def two(*layers: bytes) -> tuple[Manifest, Manifest]:
    """Return two plugins that share a layer."""
    return plugin(OLD, BASE, *layers[:1]), plugin(SAME, BASE, *layers[1:])


async def publish_two(world: World) -> tuple[Manifest, Manifest]:
    first, second = two(b"one", b"two")
    await hold(world.hub, NAME, [OLD, BASE, b"one"], [first], "1.0")
    await hold(world.hub, NAME, [SAME, b"two"], [second], "2.0")
    return first, second


class TestCount:
    async def test_an_image_is_counted_with_its_blobs_and_its_manifest(self, store: Store, world: World) -> None:
        published = await Plugin.make().at(world.hub)
        await pull(world)
        content = await count(store)
        assert used(content) == len(published.config) + len(published.layer) + published.manifest.size_bytes
        assert [(one.repository, one.tags, one.digests) for one in content.artifacts] == [
            (NAME.name, ("latest",), (str(published.manifest.digest),))
        ]

    async def test_shared_layers_are_counted_once(self, store: Store, world: World) -> None:
        first, second = await publish_two(world)
        await pull(world, NAME, Tag("1.0"))
        await pull(world, NAME, Tag("2.0"))
        content = await count(store)
        assert used(content) == len(OLD + SAME + BASE) + 6 + first.size_bytes + second.size_bytes
        assert freed(content, content.artifacts[0]) in {first.size_bytes + 5, second.size_bytes + 10}

    async def test_tags_of_one_digest_are_one_artifact(self, store: Store, world: World) -> None:
        await Plugin.make().at(world.hub, NAME, "1", "1.0", "latest")
        for tag in ("1", "1.0", "latest"):
            await pull(world, NAME, Tag(tag))
        assert tags(await count(store)) == [("1", "1.0", "latest")]

    async def test_content_that_was_pushed_too_is_not_counted(self, store: Store, world: World) -> None:
        published = await Plugin.make().at(world.hub)
        await pull(world)
        await hold(store, OTHER, [published.layer], [])
        content = await count(store)
        assert used(content) == len(published.config) + published.manifest.size_bytes
        assert tags(content) == [("latest",)]

    async def test_the_same_content_in_two_pulled_repositories_is_counted_once(
        self, store: Store, world: World
    ) -> None:
        published = await Plugin.make().at(world.hub)
        await published.at(world.hub, OTHER)
        await pull(world)
        once = used(await count(store))
        await pull(world, OTHER)
        assert used(await count(store)) == once

    async def test_an_index_counts_with_the_members_that_came(self, store: Store, world: World) -> None:
        await hold(world.hub, NAME, BLOBS, [*IMAGES.values(), *PROOFS.values(), INDEX], "1.0")
        await world.registry.get_manifest(NAME, Tag("1.0"))
        alone = used(await count(store))
        assert alone == INDEX.size_bytes
        await pull(world, NAME, IMAGES[AMD64].digest)
        content = await count(store)
        assert tags(content) == [("1.0",)]
        blobs = {blob.digest: blob.size_bytes for blob in IMAGES[AMD64].blobs}
        assert used(content) == INDEX.size_bytes + IMAGES[AMD64].size_bytes + sum(blobs.values())

    async def test_a_digest_that_was_pulled_without_a_tag_is_an_artifact_of_its_own(
        self, store: Store, world: World
    ) -> None:
        published = await Plugin.make().at(world.hub)
        await pull(world, NAME, published.manifest.digest)
        content = await count(store)
        assert [(one.tags, one.digests) for one in content.artifacts] == [((), (str(published.manifest.digest),))]

    async def test_a_tag_that_moves_leaves_its_old_digest_behind(
        self, store: Store, world: World, clock: HandClock
    ) -> None:
        before = await Plugin.make(1).at(world.hub)
        await pull(world)
        clock.advance(hours=1)
        after = await Plugin.make(2).at(world.hub)
        await world.registry.get_manifest(NAME, TAG)  # without its blobs: the tag points to both
        (both,) = (await count(store)).artifacts
        assert set(both.digests) == {str(before.manifest.digest), str(after.manifest.digest)}
        await pull(world)
        assert tags(await count(store)) == [(), ("latest",)]

    async def test_the_last_use_is_that_of_any_tag_or_digest(
        self, store: Store, world: World, clock: HandClock
    ) -> None:
        published = await Plugin.make().at(world.hub, NAME, "1", "1.0")
        await pull(world, NAME, Tag("1"))
        await pull(world, NAME, Tag("1.0"))
        assert [one.used_at for one in (await count(store)).artifacts] == [START]
        later = START + timedelta(days=3)
        await store.records.pulls.record_pulls({(NAME, published.manifest.digest): PullCount(later)})
        assert [one.used_at for one in (await count(store)).artifacts] == [later]

    async def test_a_tag_whose_upstream_was_asked_in_vain_is_not_confirmed(
        self, store: Store, world: World, clock: HandClock
    ) -> None:
        await Plugin.make().at(world.hub)
        await pull(world)
        assert [one.is_confirmed for one in (await count(store)).artifacts] == [True]
        await world.hub.delete_tag(NAME, TAG)
        clock.advance(hours=1)
        await world.registry.get_manifest(NAME, TAG)
        assert [one.is_confirmed for one in (await count(store)).artifacts] == [False]


class TestKept:
    """What is no artifact, and whose content is not counted."""

    @pytest.fixture
    async def published(self, world: World) -> Plugin:
        published = await Plugin.make().at(world.hub)
        await pull(world)
        return published

    @pytest.fixture(autouse=True)
    async def _nothing_remains(self, store: Store, published: Plugin) -> AsyncIterator[None]:
        yield
        content = await count(store)
        assert (list(content.artifacts), used(content)) == ([], 0)

    async def test_a_tag_that_was_pushed(self, store: Store, published: Plugin) -> None:
        await store.put_manifest(NAME, published.manifest, [TAG])

    async def test_a_tag_that_a_rule_brought(self, store: Store, published: Plugin) -> None:
        token = RULE.set("acme")
        await store.put_manifest(NAME, published.manifest, [TAG])
        RULE.reset(token)

    async def test_a_repository_that_was_pushed_to_because_its_tags_would_not_come_back(
        self, store: Store, published: Plugin
    ) -> None:
        await hold(store, NAME, [OLD, BASE], [plugin(OLD, BASE)], "mine")

    @pytest.mark.parametrize("is_tag", [True, False])
    async def test_what_is_pinned(self, store: Store, published: Plugin, is_tag: bool) -> None:
        target = TAG.name if is_tag else str(published.manifest.digest)
        await add(store, pins, repository=NAME.name, target=target, pinned_by="", pinned_at=START, note="")

    async def test_what_was_approved(self, store: Store, published: Plugin) -> None:
        key = {"repository": NAME.name, "digest": str(published.manifest.digest)}
        await add(store, decisions, **key, approved=True, decided_by="", decided_at=START, note="")

    async def test_what_is_held_for_approval(self, store: Store, published: Plugin) -> None:
        key = {"repository": NAME.name, "digest": str(published.manifest.digest), "policy": "p"}
        said = {"action": PolicyAction.HOLD.value, "rule": "r", "reason": "", "grown": [], "noted_at": START}
        await add(store, verdicts, **key, **said)

    async def test_the_original_of_a_derived_copy(self, store: Store, published: Plugin) -> None:
        copy = plugin(SAME, b"layer of the copy")
        await hold(store, OTHER, [SAME, b"layer of the copy"], [copy], "1.0")
        about = {"source": "", "made_by": "", "made_at": START, "changes": {}, "changed": {}}
        original = str(published.manifest.digest)
        await add(store, derivations, digest=str(copy.digest), original=original, **about)


async def test_content_of_an_upstream_that_is_not_asked_any_more_is_kept(store: Store, world: World) -> None:
    await Plugin.make().at(world.hub)
    await pull(world)
    content = await count(store, "another")
    assert (list(content.artifacts), used(content)) == ([], 0)


@pytest.mark.parametrize("is_member", [True, False])
async def test_content_that_a_tag_of_a_rule_needs_too_is_not_counted(
    store: Store, world: World, is_member: bool
) -> None:
    published = await Plugin.make().at(world.hub)
    await pull(world)
    manifest = index(published.manifest.descriptor) if is_member else published.manifest
    token = RULE.set("acme")
    await store.put_manifest(NAME, manifest, [Tag("mirrored")])
    RULE.reset(token)
    content = await count(store)
    assert (tags(content), used(content)) == ([("latest",)], 0)


@pytest.mark.parametrize("repository", ["", NAME.name])
@pytest.mark.parametrize("digest", ["", "layer"])
async def test_what_work_under_way_needs_is_held_until_the_work_ends(
    store: Store, world: World, clock: HandClock, repository: str, digest: str
) -> None:
    published = await Plugin.make().at(world.hub)
    await pull(world)
    until = START + timedelta(minutes=10)
    await add(store, content_holders, id="1", purpose="backup", detail="", began_at=START, until=until)
    held = str(Digest.of(published.layer)) if digest else ""
    await add(store, held_content, holder="1", repository=repository, digest=held)
    assert [one.is_held for one in (await count(store)).artifacts] == [True]
    clock.advance(minutes=11)
    assert [one.is_held for one in (await count(store)).artifacts] == [False]


async def test_what_is_being_downloaded_is_held(store: Store, world: World) -> None:
    published = await Plugin.make().at(world.hub)
    await world.registry.get_manifest(NAME, TAG)  # its blobs are to follow
    content = await count(store, downloading=[str(Digest.of(published.layer))])
    assert [one.is_held for one in content.artifacts] == [True]


async def test_what_has_come_since_is_summed_up(store: Store, world: World, clock: HandClock) -> None:
    await Plugin.make().at(world.hub)
    await pull(world)
    contents = store.records.pulled_contents
    everything = used(await count(store))
    clock.advance(seconds=1)
    assert [await contents.added_bytes(since) for since in (START, clock.now())] == [everything, 0]


async def test_figures_are_the_same_after_they_were_saved(store: Store) -> None:
    contents = store.records.pulled_contents
    assert await contents.record() == BudgetRecord()
    for saved in (BudgetRecord(START, 5, 1, 2, 3, 4, START), BudgetRecord(START)):
        await contents.save(saved)
        assert await contents.record() == saved


class TestEvict:
    async def test_the_audit_has_the_tags(self, store: Store, world: World) -> None:
        published = await Plugin.make().at(world.hub, NAME, "1", "latest")
        await pull(world, NAME, Tag("1"))
        await pull(world, NAME, Tag("latest"))
        await evict(store, *(await count(store)).artifacts)
        changes = [one.change for one in await store.records.changes.read(0, 100)]
        digest = str(published.manifest.digest)
        assert [one for one in changes if one.kind is ChangeKind.TAG_DELETED] == [
            Change(ChangeKind.TAG_DELETED, f"{NAME}:{tag}", NAME.name, before=digest, reason="evicted")
            for tag in ("1", "latest")
        ]

    async def test_the_tag_goes_and_the_collection_removes_its_bytes(
        self, store: Store, world: World, clock: HandClock
    ) -> None:
        await Plugin.make().at(world.hub)
        await pull(world)
        content = await count(store)
        assert await evict(store, *content.artifacts) == 1
        assert list((await store.list_tags(NAME, ALL)).entries) == []
        assert used(await count(store)) == 0  # although the bytes are there until the collection
        assert await collect(store, clock) == used(content)

    async def test_a_push_under_way_keeps_the_grace_of_its_blobs(
        self, store: Store, world: World, clock: HandClock
    ) -> None:
        published = (await Plugin.make().at(world.hub)).manifest
        await pull(world)
        for blob in published.blobs:
            await push_blob(store, await read_blob(store, blob.digest, NAME), NAME)
        await evict(store, *(await count(store)).artifacts)
        await collect(store, clock)
        await store.put_manifest(NAME, published, [TAG])

    async def test_what_others_share_stays(self, store: Store, world: World, clock: HandClock) -> None:
        await publish_two(world)
        await pull(world, NAME, Tag("1.0"))
        await pull(world, NAME, Tag("2.0"))
        content = await count(store)
        (old,) = (one for one in content.artifacts if one.tags == ("1.0",))
        await evict(store, old)
        assert await collect(store, clock) == freed(content, old)
        asked = world.hub.asked["open_blob"]
        await pull(world, NAME, Tag("2.0"))
        assert world.hub.asked["open_blob"] == asked

    @pytest.mark.parametrize("is_collected", [True, False])
    async def test_the_next_pull_brings_it_back(
        self, store: Store, world: World, clock: HandClock, is_collected: bool
    ) -> None:
        published = await Plugin.make().at(world.hub)
        await pull(world)
        await evict(store, *(await count(store)).artifacts)
        if is_collected:
            await collect(store, clock)
        assert await pull(world) == published.manifest
        assert await collect(store, clock) == 0
        assert tags(await count(store)) == [("latest",)]

    async def test_an_incomplete_index_goes_with_its_members(
        self, store: Store, world: World, clock: HandClock
    ) -> None:
        await hold(world.hub, NAME, BLOBS, [*IMAGES.values(), *PROOFS.values(), INDEX], "1.0")
        await world.registry.get_manifest(NAME, Tag("1.0"))
        await pull(world, NAME, IMAGES[AMD64].digest)
        content = await count(store)
        await evict(store, *content.artifacts)
        assert await collect(store, clock) == used(content)
        await pull(world, NAME, IMAGES[AMD64].digest)

    async def test_a_manifest_whose_blobs_came_in_part_can_be_pulled_again(
        self, store: Store, world: World, clock: HandClock
    ) -> None:
        # Content without any origin would make the repository one that was pushed to, which is never pulled through.
        published = await Plugin.make().at(world.hub)
        await world.registry.get_manifest(NAME, published.manifest.digest)
        async with world.registry.open_blob(NAME, Digest.of(published.config)) as blob:
            assert b"".join([chunk async for chunk in blob]) == published.config
        await world.idle()
        await evict(store, *(await count(store)).artifacts)
        await store.records.reviews.decide(
            CollectionRules(Grace(timedelta(days=9999), {ReviewCause.EVICTED: timedelta(0)})), 1
        )
        assert await pull(world) == published.manifest

    async def test_what_was_pulled_since_stays(self, store: Store, world: World, clock: HandClock) -> None:
        await Plugin.make().at(world.hub)
        await pull(world)
        content = await count(store)
        await store.records.pulls.record_pulls({(NAME, TAG): PullCount(START + timedelta(seconds=1))})
        assert await evict(store, *content.artifacts) == 0

    async def test_what_was_revalidated_since_stays(self, store: Store, world: World, clock: HandClock) -> None:
        await Plugin.make().at(world.hub)
        await pull(world)
        content = await count(store)
        clock.advance(hours=1)
        await world.registry.get_manifest(NAME, TAG)
        assert await evict(store, *content.artifacts) == 0

    async def test_what_was_pinned_since_stays(self, store: Store, world: World) -> None:
        await Plugin.make().at(world.hub)
        await pull(world)
        content = await count(store)
        await add(store, pins, repository=NAME.name, target="latest", pinned_by="", pinned_at=START, note="")
        assert await evict(store, *content.artifacts) == 0

    async def test_what_was_pushed_or_deleted_since_stays_so(self, store: Store, world: World) -> None:
        published = await Plugin.make().at(world.hub)
        await pull(world)
        content = await count(store)
        await store.put_manifest(NAME, published.manifest, [TAG])
        assert await evict(store, *content.artifacts) == 0
        assert list((await store.list_tags(NAME, ALL)).entries) == [TAG]
        await store.delete_manifest(NAME, published.manifest.digest)
        assert await evict(store, *content.artifacts) == 0
        with pytest.raises(NotFound):
            await store.get_manifest(NAME, TAG)
