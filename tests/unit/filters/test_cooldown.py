"""What is new from an upstream is held for a time, by the clock of this mirror."""

from __future__ import annotations

import tarfile
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci import Manifest, Repository
from mirror.plugin.policy.admission_policy import Policy, PolicyRule
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.admission.admissions import AdmissionState
from mirror.records.admission.arrivals import ContentSource, coming_from
from mirror.store.registry import Store
from tests.support.admission import HERE, HOST, NO_ROOT, OTHER, ROOT, TAG, World
from tests.support.clocks import ShiftedClock

COOLDOWN = timedelta(days=7)
HUB = ContentSource("hub", Repository("contiv/v2plugin"))
QUAY = ContentSource("quay", Repository("contiv/v2plugin"))
THIRD = Repository("acme/third")


@pytest.fixture
def world(world: World) -> World:
    world.follow(Policy(cooldown=COOLDOWN))
    return world


async def mirrored(
    world: World, source: ContentSource = HUB, repository: Repository = HERE, config: object = None
) -> Manifest:
    """Store a plugin as a mirror rule does."""
    with coming_from(source):
        manifest, _ = await world.push(config or HOST, repository=repository)
    return manifest


async def copied(world: World, manifest: Manifest, source: Repository, repository: Repository) -> None:
    """Copy a plugin to another repository as the command ``tag`` does."""
    for blob in manifest.blobs:
        await world.store.mount_blob(repository, blob.digest, source)
    with coming_from(ContentSource("", source)):
        await world.registry.put_manifest(repository, manifest, [TAG])


async def test_what_is_new_is_held_and_the_reason_says_until_when(world: World) -> None:
    with coming_from(HUB):
        manifest, (advice,) = await world.push(HOST)
    known = await world.known(manifest)
    assert known is not None
    assert known.verdict is not None
    assert known.state is AdmissionState.HELD
    assert known.verdict.rule == "cooldown"
    assert known.verdict.reason.startswith("was first seen at hub on 20")
    assert "and is new until 20" in known.verdict.reason
    assert "is held by the rule 'cooldown'" in advice
    assert "plugin-mirror admission approve" in advice
    assert not await world.gives(TAG)
    assert not await world.gives(manifest.digest)


async def test_its_blobs_are_held_too(world: World) -> None:
    manifest = await mirrored(world)
    assert [await world.gives_blob(blob.digest) for blob in manifest.blobs] == [False]
    world.clock.advance(days=7)
    assert [await world.gives_blob(blob.digest) for blob in manifest.blobs] == [True]


async def test_it_is_served_when_the_time_is_over(world: World) -> None:
    manifest = await mirrored(world)
    assert not await world.gives(TAG)
    world.clock.advance(days=6, hours=23)
    assert not await world.gives(TAG)
    world.clock.advance(hours=1)
    assert await world.gives(TAG)
    assert await world.state(manifest) is AdmissionState.ADMITTED


async def test_an_approval_ends_it(world: World) -> None:
    manifest = await mirrored(world)
    await world.decide(manifest, approved=True)
    assert await world.gives(TAG)


async def test_what_a_client_pushes_is_not_held(world: World) -> None:
    await world.push(HOST)
    assert await world.gives(TAG)


async def test_a_restart_changes_nothing(world: World) -> None:
    await mirrored(world)
    world.clock.advance(days=6)
    world.follow(Policy(cooldown=COOLDOWN))
    assert not await world.gives(TAG)
    world.clock.advance(days=1)
    assert await world.gives(TAG)


async def test_the_time_counts_from_the_first_sight_also_without_a_cooldown(world: World) -> None:
    world.follow(None)
    await mirrored(world)
    assert await world.gives(TAG)
    world.follow(Policy(cooldown=COOLDOWN))
    assert not await world.gives(TAG)
    world.clock.advance(days=7)
    assert await world.gives(TAG)


async def test_a_push_of_the_same_digest_before_matures_nothing_elsewhere(world: World) -> None:
    await world.push(HOST, repository=OTHER)
    world.clock.advance(days=30)
    manifest = await mirrored(world)
    assert not await world.gives(TAG)
    assert await world.gives(manifest.digest, OTHER)


async def test_a_push_of_the_same_digest_afterwards_matures_nothing(world: World) -> None:
    await mirrored(world)
    await world.push(HOST)
    assert not await world.gives(TAG)


async def test_what_was_pushed_here_before_goes_on_being_served(world: World) -> None:
    await world.push(HOST)
    await mirrored(world)
    assert await world.gives(TAG)


async def test_a_copy_of_what_was_pushed_goes_on_being_served(world: World) -> None:
    pushed, _ = await world.push(HOST, repository=OTHER)
    await copied(world, pushed, OTHER, HERE)
    await mirrored(world)
    assert await world.gives(TAG)


async def test_a_copy_derived_of_what_was_pushed_goes_on_being_served(world: World) -> None:
    original, _ = await world.push(HOST)
    with coming_from(ContentSource("", HERE, original.digest)):
        derived, _ = await world.push({"Description": "derived"})
    await mirrored(world, config={"Description": "derived"})
    assert await world.gives(derived.digest)


async def test_one_upstream_matures_nothing_for_another(world: World) -> None:
    await mirrored(world, QUAY, OTHER)
    world.clock.advance(days=7)
    await mirrored(world)
    assert await world.gives(TAG, OTHER)
    assert not await world.gives(TAG)


async def test_a_second_upstream_does_not_release_it(world: World) -> None:
    await mirrored(world)
    await mirrored(world, QUAY)
    assert not await world.gives(TAG)


async def test_the_same_upstream_under_another_name_is_not_new(world: World) -> None:
    await mirrored(world)
    world.clock.advance(days=7)
    await mirrored(world, repository=OTHER)
    assert await world.gives(TAG, OTHER)


async def test_a_copy_under_another_name_is_held_as_long(world: World) -> None:
    manifest = await mirrored(world)
    world.clock.advance(days=3)
    await copied(world, manifest, HERE, OTHER)
    await copied(world, manifest, OTHER, THIRD)
    assert not await world.gives(TAG, OTHER)
    assert not await world.gives(TAG, THIRD)
    world.clock.advance(days=4)
    assert await world.gives(TAG, OTHER)
    assert await world.gives(TAG, THIRD)


async def test_a_derived_copy_is_as_new_as_its_original(world: World) -> None:
    original = await mirrored(world)
    with coming_from(ContentSource("", HERE, original.digest)):
        derived, _ = await world.push({"Description": "derived"})
    assert not await world.gives(derived.digest)
    world.clock.advance(days=7)
    assert await world.gives(derived.digest)


async def test_what_comes_back_is_not_new(world: World) -> None:
    manifest = await mirrored(world)
    world.clock.advance(days=7)
    await world.store.delete_manifest(HERE, manifest.digest)
    await mirrored(world)
    assert await world.gives(TAG)


async def test_rules_come_first(world: World) -> None:
    world.follow(Policy([NO_ROOT], cooldown=COOLDOWN))
    manifest = await world.manifest(ROOT)
    with coming_from(HUB):
        assert not await world.takes(manifest)
    allowed = PolicyRule("all", PolicyAction.ALLOW)
    world.follow(Policy([allowed], PolicyAction.HOLD, COOLDOWN))
    await mirrored(world)
    assert not await world.gives(TAG)
    world.clock.advance(days=7)
    assert await world.gives(TAG)


async def test_images_are_not_held(world: World) -> None:
    config = await world.blob(b"{}", "application/vnd.oci.image.config.v1+json")
    image = Manifest.parse(
        b'{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%b","size":2},'
        b'"layers":[]}' % str(config.digest).encode(),
        "application/vnd.oci.image.manifest.v1+json",
    )
    with coming_from(HUB):
        await world.registry.put_manifest(HERE, image, [TAG])
    assert await world.gives(TAG)


async def test_what_an_earlier_version_held_is_not_new(tmp_path: Path) -> None:
    with tarfile.open(Path(__file__).parents[1] / "store" / "folders" / "revision-0014.tar.gz") as archive:
        archive.extractall(tmp_path / "data", filter="data")
    clock = ShiftedClock()
    async with Store.open(tmp_path / "data", clock=clock) as store:
        world = World(store, clock)
        world.follow(Policy(cooldown=COOLDOWN))
        driver = Repository("acme/driver")
        held = await store.get_manifest(driver, TAG)
        assert await world.gives(TAG, driver)
        # A rule that brings it again has brought nothing new.
        with coming_from(HUB):
            await world.registry.put_manifest(driver, held, [TAG])
        assert await world.gives(TAG, driver)


def test_a_policy_without_a_cooldown_keeps_its_fingerprint() -> None:
    assert Policy().fingerprint == Policy(cooldown=None).fingerprint
    assert len({Policy(cooldown=each).fingerprint for each in (None, COOLDOWN, timedelta(days=1))}) == 3
