"""Plugins that an admission policy accepts and serves: the wrappers around a store."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mirror.oci import Manifest, Tag, media_types
from mirror.oci.errors import Denied, ManifestBlobUnknown, ManifestUnknown, RepositoryUnknown
from mirror.oci.name_pattern import NamePattern
from mirror.plugin.policy.admission_policy import Policy, PolicyRule
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.plugin.rootfs.platform import Platform
from mirror.records.admission.admissions import AdmissionState
from mirror.store.records.admission.sql_verdicts import SqlVerdicts
from tests.support.admission import (
    GROWN,
    HERE,
    HOST,
    HOST_NETWORK,
    NO_ROOT,
    OTHER,
    ROOT,
    SAY_HOST_NETWORK,
    TAG,
    UNSIGNED,
    World,
)
from tests.support.layers import entry, tar, zipped
from tests.support.rootfs import elf


async def test_what_is_let_in_is_taken_and_given_without_a_word(world: World) -> None:
    world.follow(Policy([NO_ROOT]))
    manifest, advice = await world.push(HOST)
    assert advice == ()
    assert await world.registry.get_manifest(HERE, TAG) == manifest
    assert await world.state(manifest) is AdmissionState.ADMITTED
    assert world.counted == [PolicyAction.ALLOW]


async def test_what_is_denied_is_not_stored_and_the_reason_is_told(world: World) -> None:
    world.follow(Policy([NO_ROOT]))
    with pytest.raises(Denied, match=r"is denied by the rule 'no-root': it asks for mount: /$") as refused:
        await world.push(ROOT)
    assert refused.value.detail["rule"] == "no-root"
    with pytest.raises(ManifestUnknown):
        await world.store.resolve(HERE, TAG)
    assert await world.store.records.admissions.admissions() == []
    assert world.counted == [PolicyAction.DENY]


async def test_a_warning_is_given_as_advice(world: World) -> None:
    world.follow(Policy([SAY_HOST_NETWORK]))
    _, advice = await world.push(HOST)
    assert advice == ("say: it asks for network: host",)
    assert await world.gives(TAG)
    assert world.counted == [PolicyAction.WARN]


async def test_what_is_held_is_stored_and_given_once_it_is_approved(world: World) -> None:
    world.follow(Policy([HOST_NETWORK]))
    manifest, (advice,) = await world.push(HOST)
    assert advice == (
        f"acme/driver is held by the rule 'host-network': it asks for network: host; fix: "
        f"run on the mirror: plugin-mirror admission approve acme/driver@{manifest.digest}"
    )
    assert await world.registry.resolve(HERE, TAG) == manifest.descriptor
    for target in (TAG, manifest.digest):
        with pytest.raises(Denied) as refused:
            await world.registry.get_manifest(HERE, target)
        assert str(refused.value) == advice

    assert (await world.decide(manifest, approved=True)).state is AdmissionState.APPROVED
    assert await world.gives(TAG)
    assert await world.gives(manifest.digest)
    await world.decide(manifest, approved=False)
    with pytest.raises(Denied, match=r"was rejected by alice on \d{4}-\d\d-\d\d: looked at it"):
        await world.registry.get_manifest(HERE, TAG)
    with pytest.raises(Denied, match="was rejected by alice"):
        await world.push(HOST)
    assert world.counted == [PolicyAction.HOLD, PolicyAction.HOLD]


async def test_an_approval_is_of_one_name_and_one_digest(world: World) -> None:
    world.follow(Policy([HOST_NETWORK]))
    manifest, _ = await world.push(HOST)
    await world.decide(manifest, approved=True)
    await world.push(HOST, repository=OTHER)
    other, _ = await world.push(HOST | {"Description": "another"}, Tag("2"))
    assert await world.gives(TAG)
    assert not await world.gives(TAG, OTHER)
    assert not await world.gives(other.digest)


async def test_a_plugin_can_be_approved_before_it_comes(world: World) -> None:
    world.follow(Policy(default=PolicyAction.HOLD))
    manifest = await world.manifest(HOST)
    await world.decide(manifest, approved=True)
    assert await world.registry.put_manifest(HERE, manifest, [TAG]) == ()
    assert await world.gives(TAG)


async def test_an_approval_does_not_let_in_what_is_denied(world: World) -> None:
    world.follow(Policy([HOST_NETWORK]))
    manifest, _ = await world.push(ROOT)
    await world.decide(manifest, approved=True)
    assert await world.gives(TAG)
    world.follow(Policy([NO_ROOT, HOST_NETWORK]))
    assert not await world.gives(TAG)
    assert await world.state(manifest) is AdmissionState.DENIED


async def test_what_was_here_before_the_policy_is_judged_when_it_is_asked_for(world: World) -> None:
    manifest, _ = await world.push(HOST)
    world.follow(Policy([HOST_NETWORK]))
    assert not await world.gives(TAG)
    assert await world.state(manifest) is AdmissionState.HELD
    world.follow(Policy())
    assert await world.gives(TAG)
    assert await world.state(manifest) is AdmissionState.ADMITTED


async def test_what_asks_for_more_than_the_last_one_is_held_until_it_is_approved(world: World) -> None:
    world.follow(Policy([GROWN]))
    _, advice = await world.push(HOST, Tag("1"))
    assert advice == ()  # the first plugin has no baseline
    _, advice = await world.push(HOST | {"Description": "2"}, Tag("2"))
    assert advice == ()
    _, advice = await world.push(HOST | {"Description": "fewer"}, Tag("2"))
    third, (advice,) = await world.push(ROOT, Tag("3"))
    assert "it requests more than the last accepted plugin: mount: /;" in advice
    fourth, (advice,) = await world.push(ROOT | {"Description": "4"}, Tag("4"))
    assert not await world.gives(Tag("3"))
    await world.decide(third, approved=True)
    assert await world.gives(Tag("3"))
    assert await world.gives(Tag("1"))
    assert not await world.gives(Tag("4"))  # judged at its arrival, and not again
    _, advice = await world.push(ROOT | {"Description": "5"}, Tag("5"))
    assert advice == ()
    assert await world.state(fourth) is AdmissionState.HELD


async def test_another_name_is_no_measure_of_growth(world: World) -> None:
    world.follow(Policy([GROWN]))
    await world.push({}, repository=OTHER)
    _, advice = await world.push(ROOT)
    assert advice == ()


async def test_what_is_not_signed_is_held_until_its_signature_comes(world: World) -> None:
    world.follow(Policy([UNSIGNED]))
    manifest, (advice,) = await world.push(HOST)
    assert "it is not signed" in advice
    assert not await world.gives(TAG)
    await world.sign(manifest)
    assert await world.gives(TAG)


async def test_a_signature_under_the_tag_where_cosign_puts_it(world: World) -> None:
    world.follow(Policy([UNSIGNED]))
    manifest, _ = await world.push(HOST)
    await world.store.put_manifest(HERE, await world.manifest({}), [Tag(f"sha256-{manifest.digest.hex}.sig")])
    assert await world.gives(TAG)


def layer_of(program: bytes) -> bytes:
    return zipped(tar(entry("driver", program, mode=0o755)))


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (layer_of(elf(62)), None),
        (layer_of(elf(183)), "it is for linux/arm64"),
        (layer_of(b"#!/bin/sh"), "it is for an unknown platform"),
        (layer_of(elf(62))[:-12], "it cannot be judged: layer 1 ends in the middle of its gzip stream"),
        (b"garbage", "it cannot be judged: layer 1 is neither gzip nor a tar"),
    ],
    ids=["ours", "other", "script", "cut", "garbage"],
)
async def test_the_platform_is_that_of_the_program(world: World, layer: bytes, why: str | None) -> None:
    other = PolicyRule("other", PolicyAction.DENY, platforms=(Platform("linux", "arm64"), None))
    world.follow(Policy([other]))
    held = await world.blob(layer, media_types.DOCKER_LAYER_GZIP, HERE)
    plugin = await world.manifest({"Entrypoint": ["/driver"]}, layers=[held.to_json()])
    if why is None:
        assert await world.registry.put_manifest(HERE, plugin, [TAG]) == ()
        return
    with pytest.raises(Denied, match=why):
        await world.registry.put_manifest(HERE, plugin, [TAG])


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"[]", "cannot be read"),
        (b'{"Linux": {"AllowAllDevices": true}, "linux": null}', "Linux occurs more than once"),
        (
            json.dumps({"Env": [], "Mounts": [{"Source": f"/{n}"} for n in range(501)]}).encode(),
            "asks for too much",
        ),
        (json.dumps({"Mounts": [{"Source": "/dev/" + "a/" * 2000}] * 10}).encode(), "asks for too much"),
        (json.dumps({"Mounts": [{"Options": ["x=/" + "a/" * 2000]}] * 10}).encode(), "asks for too much"),
        (json.dumps({"Linux": {"Devices": [{"Path": "/dev/" + "a/" * 2000}] * 10}}).encode(), "asks for too much"),
        (b'{"x": [' + b"1," * 30000 + b"1]}", "too many members"),
        (json.dumps({"Mounts": [{"Source": "/" + "x" * 70000}]}).encode(), "asks for too much"),
        (b" " * (4 * 1024 * 1024 + 1), "has more than 4194304 bytes"),
    ],
)
async def test_what_cannot_be_judged_is_denied(world: World, config: bytes, reason: str) -> None:
    for policy in (Policy([PolicyRule("ours", PolicyAction.ALLOW, names=(NamePattern("acme/*"),))]), None):
        world.follow(policy)
        with pytest.raises(Denied, match=f"by the rule 'unreadable': it cannot be judged: its config .*{reason}"):
            await world.push(config)


async def test_what_is_no_plugin_is_no_concern(world: World) -> None:
    world.follow(Policy(default=PolicyAction.DENY))
    config = await world.blob(b"{}", media_types.OCI_IMAGE_CONFIG, HERE)
    body = {"schemaVersion": 2, "config": config.to_json(), "layers": []}
    image = Manifest.parse(json.dumps(body).encode(), media_types.OCI_MANIFEST)
    assert await world.registry.put_manifest(HERE, image, [TAG]) == ()
    assert await world.registry.get_manifest(HERE, TAG) == image


@pytest.mark.parametrize("policy", [Policy(), None], ids=["rules", "none"])
async def test_an_image_that_is_a_plugin_to_an_engine_is_denied(world: World, policy: Policy | None) -> None:
    world.follow(policy)
    config = await world.blob(b"{}", media_types.DOCKER_IMAGE_CONFIG, HERE)
    hidden = await world.blob(json.dumps(ROOT).encode(), media_types.DOCKER_PLUGIN_CONFIG, HERE)
    body = {"schemaVersion": 2, "config": config.to_json(), "Config": hidden.to_json(), "layers": []}
    image = Manifest.parse_stored(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
    assert not image.is_plugin
    with pytest.raises(Denied, match="the manifest has 'Config', which engines read as 'config'"):
        await world.registry.put_manifest(HERE, image, [TAG])
    await world.store.put_manifest(HERE, image, [TAG])
    assert not await world.gives(TAG)


async def test_a_config_that_is_not_there_is_named(world: World) -> None:
    manifest = await world.manifest(HOST)
    with pytest.raises((ManifestBlobUnknown, RepositoryUnknown), match="push it first"):
        await world.registry.put_manifest(OTHER, manifest)


async def test_nothing_is_read_again_while_nothing_changes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.follow(Policy([HOST_NETWORK, UNSIGNED]))
    await world.push({})
    await world.push(HOST, Tag("2"))
    for target in (TAG, Tag("2")):
        await world.gives(target)

    async def unexpected(*_: Any) -> None:
        raise AssertionError("the ledger is asked again")

    monkeypatch.setattr(SqlVerdicts, "admission", unexpected)
    assert not await world.gives(TAG)
    assert not await world.gives(Tag("2"))


async def test_of_a_layer_that_is_named_twice_the_larger_size_counts(world: World) -> None:
    world.follow(Policy([PolicyRule("large", PolicyAction.DENY, larger_than_bytes=1000)]))
    layer = await world.blob(b"x" * 2000, media_types.DOCKER_LAYER_GZIP)
    small = {**layer.to_json(), "size": 1}
    for layers in ([layer.to_json(), small], [small, layer.to_json()]):
        with pytest.raises(Denied, match="by the rule 'large'"):
            await world.push({}, layers=layers)
