"""Layers that arrive after their manifest or never: the plugin is withheld until its layers were checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from mirror.filters.admission import admission_controller
from mirror.filters.admission.plugin_facts import late_layers
from mirror.oci import Digest, Manifest, Tag, media_types
from mirror.oci.errors import Denied, ManifestUnknown
from mirror.plugin.policy.admission_policy import Policy, PolicyRule
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.plugin.rootfs.platform import Platform
from mirror.records.admission.admissions import AdmissionState
from mirror.records.origins import Origin
from mirror.registry.streams import single_chunk
from tests.support.admission import HERE, HOST, OTHER, TAG, World
from tests.support.layers import entry, tar, zipped
from tests.support.rootfs import elf

GOOD = zipped(tar(entry("driver", elf(62), mode=0o755)))
ALL = Policy([PolicyRule("all", PolicyAction.ALLOW)])
KINDS = {
    "urls": {"mediaType": media_types.DOCKER_LAYER_GZIP, "urls": ["https://elsewhere.example/layer"]},
    "foreign": {"mediaType": media_types.DOCKER_LAYER_FOREIGN},
}


def named(content: bytes, kind: str = "urls") -> dict[str, Any]:
    """Return the descriptor of a layer that need not be stored."""
    return {"digest": str(Digest.of(content)), "size": len(content), **KINDS[kind]}


async def upload(world: World, content: bytes) -> None:
    await world.blob(content, media_types.DOCKER_LAYER_GZIP)


async def mount(world: World, content: bytes) -> None:
    held = await world.blob(content, media_types.DOCKER_LAYER_GZIP, OTHER)
    assert await world.registry.mount_blob(HERE, held.digest, OTHER)


async def arrive_unseen(world: World, content: bytes) -> None:
    """Store a layer as pull-through and mirror rules do: without the wrappers."""
    begun = await world.store.begin_upload(HERE)
    await begun.append(single_chunk(content))
    await begun.commit(Digest.of(content))


@pytest.mark.parametrize("policy", [ALL, None], ids=["rules", "no rules"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arrive", [upload, mount, arrive_unseen])
async def test_a_plugin_is_withheld_until_its_layer_has_come(
    world: World, policy: Policy | None, kind: str, arrive: Callable[[World, bytes], Awaitable[None]]
) -> None:
    world.follow(policy)
    first = await world.blob(b"first", media_types.DOCKER_LAYER_GZIP)
    manifest, advice = await world.push(HOST, layers=[first.to_json(), named(GOOD, kind)])
    assert advice == (
        "acme/driver is denied by the rule 'unreadable': it cannot be judged: layer 2 is not stored here",
    )
    for _ in range(2):
        with pytest.raises(Denied, match="it cannot be judged: layer 2 is not stored here"):
            await world.registry.get_manifest(HERE, TAG)
    (listed,) = await world.store.records.admissions.admissions(AdmissionState.DENIED)
    assert listed.verdict is not None
    assert (listed.digest, listed.verdict.rule) == (manifest.digest, "unreadable")
    await arrive(world, GOOD)
    assert await world.gives(TAG)
    assert await world.store.records.admissions.admissions(AdmissionState.DENIED) == []


async def test_it_is_known_how_it_stands_as_soon_as_the_layer_has_come(world: World) -> None:
    world.follow(ALL)
    manifest, _ = await world.push(HOST, layers=[named(GOOD)])
    assert await world.state(manifest) is AdmissionState.DENIED
    await upload(world, GOOD)
    assert await world.state(manifest) is AdmissionState.ADMITTED


async def test_so_many_bytes_of_manifests_are_looked_at_when_a_layer_comes_and_the_others_when_they_are_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.follow(ALL)
    manifest, _ = await world.push(HOST, layers=[named(GOOD)])
    monkeypatch.setattr(admission_controller, "_MOST_BYTES_AT_ONCE", manifest.size_bytes - 1)
    await upload(world, GOOD)
    assert await world.state(manifest) is AdmissionState.DENIED
    assert await world.gives(TAG)
    assert await world.state(manifest) is AdmissionState.ADMITTED


@pytest.mark.parametrize("checks", [True, False], ids=["enforced", "off"])
async def test_the_layer_is_checked_as_one_that_comes_before_its_manifest(world: World, checks: bool) -> None:
    world.follow(ALL, checks=checks)
    content = b"neither gzip nor a tar"
    manifest = await world.manifest({"Entrypoint": ["/driver"]}, layers=[named(content)])
    await world.store.put_manifest(HERE, manifest, [TAG])
    await upload(world, content)
    assert await world.gives(TAG) is not checks
    if checks:
        known = await world.known(manifest)
        assert known is not None
        assert known.verdict is not None
        assert "layer 1 is neither gzip nor a tar" in known.verdict.reason
        found = await world.store.records.findings.recorded_findings(manifest.digest)
        assert found is not None
        assert "layer-unreadable" in {finding.code for finding in found}


async def test_the_rules_read_the_layer_that_has_come(world: World) -> None:
    world.follow(Policy([PolicyRule("other", PolicyAction.DENY, platforms=(Platform("linux", "arm64"),))]))
    foreign = zipped(tar(entry("driver", elf(183), mode=0o755)))
    await world.push({"Entrypoint": ["/driver"]}, layers=[named(foreign)])
    await upload(world, foreign)
    with pytest.raises(Denied, match="by the rule 'other': it is for linux/arm64"):
        await world.registry.get_manifest(HERE, TAG)


async def test_nobody_can_approve_what_is_not_here(world: World) -> None:
    world.follow(ALL)
    manifest, _ = await world.push(HOST, layers=[named(GOOD)])
    await world.decide(manifest, approved=True)
    assert not await world.gives(TAG)
    await upload(world, GOOD)
    assert await world.gives(TAG)


async def test_a_layer_that_is_deleted_again_withholds_it_again(world: World) -> None:
    world.follow(ALL)
    await world.push(HOST, layers=[named(GOOD)])
    await upload(world, GOOD)
    assert await world.gives(TAG)
    await world.store.delete_blob(HERE, Digest.of(GOOD))
    assert not await world.gives(TAG)


async def test_rejected_content_whose_layer_comes_late_is_rejected(world: World) -> None:
    layer = await world.blob(GOOD, media_types.DOCKER_LAYER_GZIP)
    manifest, _ = await world.push(HOST, layers=[layer.to_json()])
    await world.decide(manifest, approved=False)
    assert not await world.takes(await world.manifest(HOST, layers=[named(GOOD)]))


async def test_what_is_pulled_through_waits_for_what_its_upstream_has_elsewhere(world: World) -> None:
    manifest: Manifest = await world.manifest(HOST, layers=[named(GOOD)])
    now = datetime.now(UTC)
    await world.store.records.incomplete.keep_incomplete(
        HERE, manifest, Origin("hub", HERE, manifest.digest, now, now), TAG
    )
    assert not await world.gives(TAG)


async def test_a_config_that_is_gone_is_told_as_a_plugin_that_is(world: World) -> None:
    manifest, _ = await world.push(HOST, Tag("1"))
    assert manifest.config is not None
    await world.store.delete_blob(HERE, manifest.config.digest)
    world.follow(None)
    with pytest.raises(ManifestUnknown, match="is withheld, because it is incomplete here"):
        await world.registry.get_manifest(HERE, Tag("1"))


async def test_what_is_named_a_second_time_without_urls_must_be_here(world: World) -> None:
    here = {"digest": str(Digest.of(GOOD)), "size": len(GOOD), "mediaType": media_types.DOCKER_LAYER_GZIP}
    manifest = await world.manifest(HOST, layers=[named(GOOD), here, named(b"other"), named(b"other")])
    assert late_layers(manifest) == [(3, Digest.of(b"other"))]
