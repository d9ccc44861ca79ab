"""A rejection covers the content: under any digest and any name, with and without a policy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mirror.filters.admission.admission_controller import AdmissionController
from mirror.filters.admission.admit import Admit, Withhold
from mirror.oci import Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import Denied
from mirror.plugin.policy.admission_policy import Policy, PolicyRule
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.admission.admissions import AdmissionState, Subject
from mirror.runtime.clock import SystemClock
from mirror.store.records.admission.sql_verdicts import SqlVerdicts
from tests.support.admission import HERE, HOST, OTHER, ROOT, TAG, World, admission_records, decision

POLICIES = {"no rules": None, "rules": Policy([PolicyRule("all", PolicyAction.ALLOW)])}


@pytest.fixture(params=POLICIES)
def world(world: World, request: pytest.FixtureRequest) -> World:
    """A server with a policy or without."""
    world.follow(POLICIES[request.param])
    return world


async def rejected(world: World, config: Any = HOST, **members: Any) -> Manifest:
    """Push a plugin that is admitted, and reject it."""
    manifest, _ = await world.push(config, **members)
    assert await world.gives(TAG)
    await world.decide(manifest, approved=False)
    return manifest


def as_sha512(manifest: Manifest) -> Manifest:
    """Return the same manifest under its sha512 digest."""
    return Manifest.parse(manifest.content, manifest.media_type, Digest.of(manifest.content, "sha512"))


async def test_it_is_withheld_at_once_by_tag_and_digest(world: World) -> None:
    manifest = await rejected(world)
    for target in (TAG, manifest.digest):
        with pytest.raises(Denied, match=r"acme/driver@sha256:\S+ was rejected by alice on .*: looked at it"):
            await world.registry.get_manifest(HERE, target)
    assert await world.registry.resolve(HERE, TAG) == manifest.descriptor  # HEAD is answered


async def test_it_cannot_be_tagged_or_pushed_again(world: World) -> None:
    manifest = await rejected(world)
    assert not await world.takes(manifest)


async def test_the_same_bytes_under_another_algorithm(world: World) -> None:
    manifest = as_sha512(await rejected(world))
    assert not await world.takes(manifest)
    await world.store.put_manifest(HERE, manifest, [Tag("other")])  # stored before the rejection
    assert not await world.gives(manifest.digest)
    assert not await world.gives(Tag("other"))


async def test_under_another_name(world: World) -> None:
    manifest = await rejected(world)
    for blob in manifest.blobs:
        assert await world.registry.mount_blob(OTHER, blob.digest, HERE)
    for variant in (manifest, as_sha512(manifest)):
        with pytest.raises(Denied, match=r"has the content of acme/driver@sha256:\S+, which was rejected by alice"):
            await world.registry.put_manifest(OTHER, variant, [TAG])


async def test_the_same_config_and_layers_in_another_manifest(world: World) -> None:
    layer = await world.blob(b"a layer", media_types.DOCKER_LAYER_GZIP)
    manifest = await rejected(world, layers=[layer.to_json()])
    spaced = Manifest.parse(manifest.content + b" ", manifest.media_type)
    annotated = Manifest.parse(
        json.dumps({**json.loads(manifest.content), "annotations": {"a": "b"}}).encode(), media_types.OCI_MANIFEST
    )
    for variant in (spaced, annotated):
        assert not await world.takes(variant)
        await world.store.put_manifest(HERE, variant, [Tag("other")])
        assert not await world.gives(Tag("other"))


async def test_config_and_layers_named_by_another_algorithm(world: World) -> None:
    layer = await world.blob(b"a layer", media_types.DOCKER_LAYER_GZIP)
    await rejected(world, layers=[layer.to_json()])
    again = await world.blob(b"a layer", media_types.DOCKER_LAYER_GZIP, algorithm="sha512")
    for algorithm, described in (("sha256", again), ("sha512", layer), ("sha512", again)):
        variant = await world.manifest(HOST, algorithm=algorithm, layers=[described.to_json()])
        assert not await world.takes(variant), (algorithm, described)


async def test_another_byte_is_another_content(world: World) -> None:
    layer = await world.blob(b"a layer", media_types.DOCKER_LAYER_GZIP)
    await rejected(world, layers=[layer.to_json()])
    assert await world.takes(await world.manifest(HOST | {"Description": "x"}, layers=[layer.to_json()]))
    assert await world.takes(await world.manifest(HOST))


async def test_what_engines_pass_over_makes_no_other_content(world: World) -> None:
    first, second = [await world.blob(each, media_types.DOCKER_LAYER_GZIP) for each in (b"a layer", b"a second one")]
    manifest = await rejected(world, layers=[first.to_json(), second.to_json()])
    assert manifest.config is not None
    for described in (
        [first, second, first],
        [second, first],
        [first, second, replace(first, media_type="application/x-nothing")],
        [replace(manifest.config, media_type="application/x-nothing"), first, second],
    ):
        variant = await world.manifest(HOST, layers=[one.to_json() for one in described])
        assert not await world.takes(variant), described
        await world.store.put_manifest(HERE, variant, [Tag("other")])
        assert not await world.gives(Tag("other"))


async def test_what_is_rejected_before_it_comes_is_covered_when_it_comes(world: World) -> None:
    manifest = await world.manifest(HOST)
    await world.store.records.decisions.decide(
        OTHER, [Subject.absent(Digest.of(manifest.content, "sha512"))], decision(approved=False)
    )
    assert not await world.takes(manifest)
    assert not await world.takes(Manifest.parse(manifest.content + b"\n", manifest.media_type))


async def test_a_rejection_goes_before_an_approval_under_another_name(world: World) -> None:
    manifest, _ = await world.push(HOST)
    await world.push(HOST, repository=OTHER)
    await world.decide(manifest, approved=True, repository=OTHER)
    await world.decide(manifest, approved=False)
    assert not await world.gives(TAG, OTHER)
    assert await world.state(manifest, OTHER) is AdmissionState.REJECTED
    with pytest.raises(Denied, match="--overrule"):
        await world.decide(manifest, approved=True, repository=OTHER)
    await world.decide(manifest, approved=True, repository=OTHER, overrule=True)
    assert await world.gives(TAG, OTHER)
    assert await world.gives(TAG)  # the rejection was lifted under every name


async def test_the_list_tells_of_what_is_held_under_other_names_and_digests(world: World) -> None:
    await world.push(HOST, repository=OTHER)
    manifest, _ = await world.push(HOST)
    spaced = Manifest.parse(manifest.content + b" ", manifest.media_type)
    await world.registry.put_manifest(OTHER, spaced, [Tag("spaced")])
    await world.decide(manifest, approved=False)
    listed = {
        (str(one.repository), one.digest)
        for one in await world.store.records.admissions.admissions(AdmissionState.REJECTED)
    }
    assert listed == {("acme/driver", manifest.digest), ("acme/copy", manifest.digest), ("acme/copy", spaced.digest)}
    assert (await world.store.records.admissions.count_admissions(world.policy))[AdmissionState.REJECTED] == 3


async def test_what_only_the_look_at_it_tells_is_listed_after_it(world: World) -> None:
    manifest, _ = await world.push(HOST)
    variant = await world.manifest(HOST, OTHER, algorithm="sha512")
    await world.registry.put_manifest(OTHER, variant, [TAG])
    await world.decide(manifest, approved=False)
    assert len(await world.store.records.admissions.admissions(AdmissionState.REJECTED)) == 1
    assert not await world.gives(TAG, OTHER)
    assert not await world.gives(TAG, OTHER)
    (elsewhere, _) = await world.store.records.admissions.admissions(AdmissionState.REJECTED)
    assert elsewhere.rejected_elsewhere or elsewhere.repository == HERE
    assert {str(one.digest) for one in await world.store.records.admissions.admissions(AdmissionState.REJECTED)} == {
        str(manifest.digest),
        str(variant.digest),
    }


async def test_a_server_without_rules_keeps_what_another_one_decided_and_writes_nothing(world: World) -> None:
    manifest = await rejected(world)
    before = await world.store.records.admissions.admissions()
    judge = AdmissionController(None, admission_records(world.store), SystemClock(), lambda _action: None)
    other = Withhold(Admit(world.store, judge), judge)
    with pytest.raises(Denied, match="was rejected by alice"):
        await other.get_manifest(HERE, TAG)
    much = await world.manifest(ROOT)
    await other.put_manifest(HERE, much, [Tag("2")])
    assert await other.get_manifest(HERE, Tag("2")) == much
    assert await world.store.records.admissions.admissions() == before
    assert manifest.digest in {one.digest for one in before}


async def test_only_plugins_are_compared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    config = await world.blob(b"{}", media_types.OCI_IMAGE_CONFIG)
    body = {"schemaVersion": 2, "config": config.to_json(), "layers": []}
    image = Manifest.parse(json.dumps(body).encode(), media_types.OCI_MANIFEST)
    monkeypatch.delattr(SqlVerdicts, "admission")  # an image is judged without a query
    await world.registry.put_manifest(HERE, image, [TAG])
    assert await world.registry.get_manifest(HERE, TAG) == image


async def test_rejecting_names_that_are_not_there(world: World) -> None:
    absent = Digest.of(b"absent")
    await world.store.records.decisions.decide(
        Repository("no/where"), [Subject.absent(absent)], decision(approved=False)
    )
    (one,) = await world.store.records.admissions.admissions()
    assert (one.digest, one.state) == (absent, AdmissionState.REJECTED)


@pytest.mark.parametrize("of", ["image", "index"])
async def test_what_is_no_plugin_is_rejected_as_well(world: World, of: str) -> None:
    layer = await world.blob(b"a layer", media_types.DOCKER_LAYER_GZIP)
    config = await world.blob(b"{}", media_types.OCI_IMAGE_CONFIG)
    image = Manifest.parse(
        json.dumps({"schemaVersion": 2, "config": config.to_json(), "layers": [layer.to_json()]}).encode(),
        media_types.OCI_MANIFEST,
    )
    index = Manifest.parse(
        json.dumps({"schemaVersion": 2, "manifests": [image.descriptor.to_json()]}).encode(), media_types.OCI_INDEX
    )
    manifest = {"image": image, "index": index}[of]
    await world.registry.put_manifest(HERE, image, [])
    assert await world.takes(manifest, tags=[TAG])
    assert await world.gives(TAG)
    await world.decide(manifest, approved=False)
    assert not await world.gives(TAG)
    assert not await world.gives(TAG)
    for variant in (manifest, as_sha512(manifest)):
        assert not await world.takes(variant)
    for blob in image.blobs:
        assert await world.registry.mount_blob(OTHER, blob.digest, HERE)
    assert await world.takes(image, OTHER) is (of == "index")
    await world.decide(manifest, approved=True, overrule=True)
    assert await world.gives(TAG)
