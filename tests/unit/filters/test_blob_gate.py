"""Blobs of a plugin are served as long as the plugin is served."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from mirror.filters.admission import blob_gate
from mirror.filters.admission.blob_gate import BlobGate, GateAnswer, WhyWithheld
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import BlobUnknown, Denied
from mirror.plugin.policy.admission_policy import Policy
from mirror.runtime.clock import Clock, SystemClock
from mirror.store.records.admission.sql_held_plugins import SqlHeldPlugins
from mirror.store.registry import Store
from mirror.wire.ranges import RangeRequest
from tests.support.admission import HERE, HOST, HOST_NETWORK, OTHER, ROOT, TAG, World, admission_records
from tests.support.clocks import HandClock


@pytest.fixture
async def layer(world: World) -> Descriptor:
    return await world.blob(b"a layer", media_types.DOCKER_LAYER_GZIP)


async def rejected(world: World, layer: Descriptor) -> Manifest:
    manifest, _ = await world.push(HOST, layers=[layer.to_json()])
    await world.decide(manifest, approved=False)
    return manifest


async def put_image(world: World, layer: Descriptor, tag: str = "image") -> None:
    config = await world.blob(b"{}", media_types.OCI_IMAGE_CONFIG)
    body = {"schemaVersion": 2, "config": config.to_json(), "layers": [layer.to_json()]}
    image = Manifest.parse(json.dumps(body).encode(), media_types.OCI_MANIFEST)
    await world.registry.put_manifest(HERE, image, [Tag(tag)])


@pytest.mark.parametrize("policy", [Policy(), None], ids=["rules", "no rules"])
async def test_config_and_layers_are_withheld_with_their_plugin(
    world: World, layer: Descriptor, policy: Policy | None
) -> None:
    world.follow(policy)
    manifest, _ = await world.push(HOST, layers=[layer.to_json()])
    assert [await world.gives_blob(blob.digest) for blob in manifest.blobs] == [True, True]
    await world.decide(manifest, approved=False)
    assert [await world.gives_blob(blob.digest) for blob in manifest.blobs] == [False, False]
    with pytest.raises(
        Denied, match=r"all plugins with this blob are withheld: acme/driver@sha256:\S+ was rejected by alice"
    ):
        async with world.registry.open_blob(HERE, layer.digest, RangeRequest(0, 1)):
            pass
    assert await world.registry.stat_blob(HERE, layer.digest)  # a push begins with HEAD
    with pytest.raises(Denied, match="all plugins with this blob are withheld"):
        await world.registry.stat_pullable_blob(HERE, layer.digest)
    await world.decide(manifest, approved=True, overrule=True)
    assert await world.gives_blob(layer.digest)


async def test_what_is_held_is_withheld_until_it_is_approved(world: World, layer: Descriptor) -> None:
    world.follow(Policy([HOST_NETWORK]))
    manifest, _ = await world.push(HOST, layers=[layer.to_json()])
    assert not await world.gives_blob(layer.digest)
    await world.decide(manifest, approved=True)
    assert await world.gives_blob(layer.digest)


async def test_what_a_served_plugin_names_too_is_given(world: World, layer: Descriptor) -> None:
    manifest = await rejected(world, layer)
    await world.push(ROOT, Tag("2"), layers=[layer.to_json()])
    assert manifest.config is not None
    assert not await world.gives_blob(manifest.config.digest)
    assert await world.gives_blob(layer.digest)


@pytest.mark.parametrize("image_first", [True, False])
async def test_what_an_image_names_too_is_given(world: World, layer: Descriptor, image_first: bool) -> None:
    if image_first:
        await put_image(world, layer)
    await rejected(world, layer)
    if not image_first:
        assert not await world.gives_blob(layer.digest)
        await put_image(world, layer)
    assert await world.gives_blob(layer.digest)


async def test_what_nothing_names_or_nobody_has_passes(world: World, layer: Descriptor) -> None:
    await rejected(world, layer)
    free = await world.blob(b"free", media_types.DOCKER_LAYER_GZIP)
    assert await world.gives_blob(free.digest)
    with pytest.raises(BlobUnknown):
        await world.gives_blob(Digest.of(b"absent"))
    # A rejection covers plugins as a whole. Where no plugin names the blob, the blob is served.
    assert await world.registry.mount_blob(OTHER, layer.digest, HERE)
    assert await world.gives_blob(layer.digest, OTHER)


async def test_a_plugin_that_is_deleted_withholds_nothing_any_more(world: World, layer: Descriptor) -> None:
    manifest = await rejected(world, layer)
    assert not await world.gives_blob(layer.digest)
    await world.store.delete_manifest(HERE, manifest.digest)
    assert await world.gives_blob(layer.digest)


async def test_nothing_is_asked_again_while_nothing_changes(
    world: World, layer: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rejected(world, layer)
    free = await world.blob(b"free", media_types.DOCKER_LAYER_GZIP)
    for _ in range(2):
        assert not await world.gives_blob(layer.digest)
        assert await world.gives_blob(free.digest)

    async def unexpected(*_: Any) -> None:
        raise AssertionError("the ledger is asked again")

    monkeypatch.setattr(SqlHeldPlugins, "plugins_naming", unexpected)
    assert not await world.gives_blob(layer.digest)
    assert await world.gives_blob(free.digest)


async def test_a_repository_without_plugins_costs_one_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = [await world.blob(bytes([number]), media_types.OCI_LAYER, OTHER) for number in range(3)]
    asked: list[Repository] = []
    look = SqlHeldPlugins.holds_plugins

    async def counted(index: SqlHeldPlugins, repository: Repository) -> bool:
        asked.append(repository)
        return await look(index, repository)

    monkeypatch.setattr(SqlHeldPlugins, "holds_plugins", counted)
    for blob in blobs:
        assert await world.gives_blob(blob.digest, OTHER)
    assert asked == [OTHER]


def gate_of(store: Store, why: WhyWithheld, clock: Clock | None = None) -> BlobGate:
    records = admission_records(store)
    return BlobGate(records.verdicts, records.plugins, why, clock or SystemClock())


async def test_a_gate_can_be_asked_for_one_caller(world: World, layer: Descriptor) -> None:
    manifest, _ = await world.push(HOST, TAG, layers=[layer.to_json()])

    async def why(_repository: Repository, asked: Manifest) -> GateAnswer:
        return GateAnswer("not for this engine" if asked.digest == manifest.digest else None)

    gate = gate_of(world.store, why)
    with pytest.raises(Denied, match="not for this engine"):
        await gate.require_open(HERE, layer.digest)
    assert await world.gives_blob(layer.digest)


async def test_an_answer_is_found_again_when_its_time_is_over(world: World, layer: Descriptor) -> None:
    await world.push(HOST, TAG, layers=[layer.to_json()])
    clock, reasons = HandClock(), ["not yet", None, "no more"]

    async def why(_repository: Repository, _manifest: Manifest) -> GateAnswer:
        return GateAnswer(reasons.pop(0), clock.now() + timedelta(hours=1))

    gate = gate_of(world.store, why, clock)
    for _ in range(2):
        with pytest.raises(Denied, match="not yet"):
            await gate.require_open(HERE, layer.digest)
    clock.advance(hours=1)
    for _ in range(2):
        await gate.require_open(HERE, layer.digest)
        assert gate.is_open(HERE, layer.digest)
    clock.advance(hours=1)
    assert not gate.is_open(HERE, layer.digest)
    with pytest.raises(Denied, match="no more"):
        await gate.require_open(HERE, layer.digest)


async def test_so_many_bytes_of_manifests_are_read_for_one_blob(
    world: World, layer: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Digest] = []

    async def withheld(_repository: Repository, manifest: Manifest) -> GateAnswer:
        asked.append(manifest.digest)
        return GateAnswer("held")

    sizes = [
        (await world.push({"Description": str(number)}, Tag(str(number)), layers=[layer.to_json()]))[0].size_bytes
        for number in range(5)
    ]
    monkeypatch.setattr(blob_gate, "_MOST_ASKED_BYTES", 2 * max(sizes))
    with pytest.raises(Denied):
        await gate_of(world.store, withheld).require_open(HERE, layer.digest)
    assert len(asked) == 2


async def test_what_is_let_in_is_asked_about_first(
    world: World, layer: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_gate, "_MOST_ASKED", 1)
    world.follow(Policy([HOST_NETWORK]))
    pushed = [
        (await world.push(HOST | {"Description": str(number)}, Tag(str(number)), layers=[layer.to_json()]))[0]
        for number in range(3)
    ]
    last = max(pushed, key=lambda one: str(one.digest))
    await world.decide(last, approved=True)
    assert await world.gives_blob(layer.digest)
    await world.decide(last, approved=False)
    assert not await world.gives_blob(layer.digest)
    admitted = [(await world.push({"Description": str(n)}, Tag(f"{n}-x"), layers=[layer.to_json()]))[0] for n in "ab"]
    assert await world.gives(admitted[0].digest)
    assert await world.gives_blob(layer.digest)
