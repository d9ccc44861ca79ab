"""Plugins are admitted by the signatures of the keys that a rule names."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mirror.oci import Manifest, Repository, Tag
from mirror.oci.name_pattern import NamePattern
from mirror.plugin.policy.admission_policy import Policy, PolicyRule
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.admission.admissions import AdmissionState
from mirror.records.admission.arrivals import ContentSource, coming_from
from mirror.signing.private_keys import PrivateKey
from mirror.signing.signature_formats import COSIGN_ARTIFACT
from mirror.signing.signature_manifest import CONFIG, signature_manifest
from mirror.signing.signed_by import SignedBy
from tests.support.admission import HERE, HOST, OTHER, TAG, World
from tests.support.builders import push_blob
from tests.support.signing import (
    BUNDLE,
    KEY,
    OTHER_KEY,
    THIRD_KEY,
    attach,
    bundle,
    layer,
    payload,
    simple_layer,
    statement,
)


def policy(*keys: PrivateKey, threshold: int = 1, names: tuple[str, ...] = ()) -> Policy:
    """Return a policy that allows what enough keys have signed, and holds everything else."""
    by = SignedBy(tuple(key.public for key in keys), threshold, tuple(map(NamePattern, names)))
    return Policy([PolicyRule("store", PolicyAction.ALLOW, signed=by)], PolicyAction.HOLD)


@pytest.fixture
async def plugin(world: World) -> Manifest:
    world.follow(policy(KEY))
    manifest, _ = await world.push(HOST)
    return manifest


async def sign(
    world: World, plugin: Manifest, content: bytes, key: PrivateKey = KEY, repository: Repository = HERE
) -> None:
    """Store a payload with its signature as a referrer."""
    await attach(world.store, plugin, {content: simple_layer(content, key)}, COSIGN_ARTIFACT, repository)


async def why(world: World, plugin: Manifest) -> str:
    """Return the reason of the recorded verdict."""
    known = await world.known(plugin)
    assert known is not None
    assert known.verdict is not None
    return known.verdict.reason


async def test_what_is_not_signed_is_held_and_the_reason_says_so(world: World) -> None:
    world.follow(policy(KEY))
    plugin, (advice,) = await world.push(HOST)
    assert not await world.gives(TAG)
    assert await why(world, plugin) == (
        "is not allowed by any rule; the rule 'store' does not cover it, because it is not signed by "
        f"{KEY.public}: there is no signature"
    )
    assert f"it is not signed by {KEY.public}" in advice


async def test_what_a_named_key_has_signed_is_served(world: World, plugin: Manifest) -> None:
    await sign(world, plugin, payload(plugin.digest, f"mirror:5000/{HERE}"))
    assert await world.gives(TAG)
    assert await why(world, plugin) == f"is signed by {KEY.public}"


async def test_a_signature_under_the_tag_of_cosign(world: World, plugin: Manifest) -> None:
    content = payload(plugin.digest)
    await attach(world.store, plugin, {content: simple_layer(content)}, None, HERE)
    assert await world.gives(TAG)


async def test_a_bundle(world: World, plugin: Manifest) -> None:
    content = bundle(statement(plugin.digest, str(HERE)))
    await attach(world.store, plugin, {content: layer(content, BUNDLE)}, BUNDLE, HERE)
    assert await world.gives(TAG)


async def test_another_key(world: World, plugin: Manifest) -> None:
    await sign(world, plugin, payload(plugin.digest), THIRD_KEY)
    assert not await world.gives(TAG)
    assert "was made by none of the known keys, or for another payload" in await why(world, plugin)


async def test_a_swapped_payload(world: World, plugin: Manifest) -> None:
    content = payload(plugin.digest)
    signed = layer(content, simple_layer(content).media_type, dict(simple_layer(b"{}").annotations))
    await attach(world.store, plugin, {content: signed}, COSIGN_ARTIFACT, HERE)
    assert not await world.gives(TAG)
    assert "was made by none of the known keys, or for another payload" in await why(world, plugin)


async def test_a_signature_of_other_content(world: World, plugin: Manifest) -> None:
    other, _ = await world.push({"Description": "other"}, repository=OTHER)
    await sign(world, plugin, payload(other.digest, str(HERE)))
    assert not await world.gives(TAG)
    assert f"is for other content: {other.digest}" in await why(world, plugin)


async def test_a_signature_of_another_repository(world: World, plugin: Manifest) -> None:
    await sign(world, plugin, payload(plugin.digest, f"mirror:5000/{OTHER}"))
    assert not await world.gives(TAG)
    assert f"is for another repository: mirror:5000/{OTHER}" in await why(world, plugin)


async def test_the_name_at_the_source_counts(world: World) -> None:
    world.follow(policy(KEY))
    with coming_from(ContentSource("hub", OTHER)):
        plugin, _ = await world.push({"Description": "mirrored"})
    await sign(world, plugin, payload(plugin.digest, f"index.docker.io/{OTHER}"))
    assert await world.gives(TAG)


async def test_a_rule_may_name_further_names(world: World, plugin: Manifest) -> None:
    await sign(world, plugin, payload(plugin.digest, "ghcr.io/contiv/v2plugin"))
    assert not await world.gives(TAG)
    world.follow(policy(KEY, names=("contiv/*",)))
    assert await world.gives(TAG)


async def test_an_expired_signature(world: World, plugin: Manifest) -> None:
    end = world.clock.now() + timedelta(hours=1)
    await sign(world, plugin, payload(plugin.digest, expires_at=end))
    blob = plugin.config
    assert blob is not None
    assert await world.gives(TAG)
    assert await world.gives_blob(blob.digest)
    world.clock.advance(hours=1)
    assert not await world.gives(TAG)
    assert not await world.gives_blob(blob.digest)
    assert "has expired on" in await why(world, plugin)


async def test_a_threshold(world: World) -> None:
    world.follow(policy(KEY, OTHER_KEY, threshold=2))
    plugin, _ = await world.push(HOST)
    await sign(world, plugin, payload(plugin.digest, str(HERE)))
    assert not await world.gives(TAG)
    assert f"is not signed by 2 of 2 keys; by {KEY.public} only" in await why(world, plugin)
    await sign(world, plugin, payload(plugin.digest), OTHER_KEY)
    assert await world.gives(TAG)
    assert await why(world, plugin) == f"is signed by {KEY.public}, {OTHER_KEY.public}"


async def test_a_key_of_one_rule_does_not_count_for_another(world: World) -> None:
    rules = [
        PolicyRule("here", PolicyAction.ALLOW, names=(NamePattern("acme/*"),), signed=SignedBy((KEY.public,))),
        PolicyRule("there", PolicyAction.ALLOW, names=(NamePattern("store/*"),), signed=SignedBy((OTHER_KEY.public,))),
    ]
    world.follow(Policy(rules, PolicyAction.HOLD))
    plugin, _ = await world.push(HOST)
    await sign(world, plugin, payload(plugin.digest), OTHER_KEY)
    assert not await world.gives(TAG)
    reason = await why(world, plugin)
    assert "was made by a key that this rule does not name" in reason
    assert "'there'" not in reason  # the name does not meet that rule, whoever signs


async def test_keys_that_cannot_be_read_never_count(world: World) -> None:
    world.follow(policy())
    plugin, _ = await world.push(HOST)
    await sign(world, plugin, payload(plugin.digest))
    assert not await world.gives(TAG)
    assert "is not signed: no key of the rule can be read" in await why(world, plugin)


async def test_garbage_is_no_signature(world: World, plugin: Manifest) -> None:
    await attach(world.store, plugin, {b"x": layer(b"x", BUNDLE)}, BUNDLE, HERE)
    assert not await world.gives(TAG)
    assert "cannot be read: the bundle is not JSON" in await why(world, plugin)


async def test_a_person_may_approve_what_is_not_signed(world: World, plugin: Manifest) -> None:
    await world.decide(plugin, approved=True)
    assert await world.state(plugin) is AdmissionState.APPROVED
    assert await world.gives(TAG)


def test_other_keys_make_another_policy() -> None:
    policies = [policy(KEY), policy(OTHER_KEY), policy(KEY, OTHER_KEY), policy(KEY, names=("a/*",))]
    assert len({each.fingerprint for each in policies}) == len(policies)
    assert policy(KEY, OTHER_KEY, threshold=2).keys == (KEY.public, OTHER_KEY.public)
    assert Policy([PolicyRule("x", PolicyAction.HOLD, signed=False)]).keys == ()


async def test_a_plugin_is_judged_when_its_signature_comes(world: World, plugin: Manifest) -> None:
    content = payload(plugin.digest)
    for blob in (CONFIG, content):
        await push_blob(world.store, blob, HERE)
    signature = signature_manifest(plugin.descriptor, content, KEY.sign(content))
    await world.registry.put_manifest(HERE, signature)
    assert await world.state(plugin) is AdmissionState.ADMITTED  # nobody has asked for the plugin


async def test_a_plugin_is_judged_when_a_tag_of_cosign_comes(world: World, plugin: Manifest) -> None:
    content = payload(plugin.digest)
    stored = await attach(world.store, plugin, {content: simple_layer(content)}, None, HERE)
    await world.registry.put_manifest(HERE, stored, [Tag(f"sha256-{plugin.digest.hex}.sig")])
    assert await world.state(plugin) is AdmissionState.ADMITTED
