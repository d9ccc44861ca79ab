"""What is let in, and what is given out, by a policy: with a registry in memory, and the store's own memory of it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mirror.filters.admit import Admit, Withhold
from mirror.filters.judging import Judge
from mirror.oci import media_types
from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import Denied, ManifestBlobUnknown, ManifestUnknown, RepositoryUnknown
from mirror.oci.manifest import Manifest
from mirror.oci.name_pattern import NamePattern
from mirror.oci.names import Repository, Tag
from mirror.plugin.platform import Platform
from mirror.plugin.policy import Action, Policy, Rule
from mirror.plugin.privilege_pattern import PrivilegePattern
from mirror.registry.admissions import Decision, State
from mirror.registry.memory import MemoryRegistry
from mirror.registry.streams import one
from mirror.runtime.clock import SystemClock
from mirror.store.registry import Store
from tests.unit.plugin.layers import entry, tar, zipped
from tests.unit.plugin.rootfses import elf

HERE, OTHER, TAG = Repository("acme/driver"), Repository("acme/copy"), Tag("1.0")
HOST = {"Network": {"Type": "host"}}
ROOT = HOST | {"Mounts": [{"Source": "/"}]}
NO_ROOT = Rule("no-root", Action.DENY, privileges=(PrivilegePattern.parse("mount=/"),))
HOST_NETWORK = Rule("host-network", Action.HOLD, privileges=(PrivilegePattern.parse("network=host"),))
SAY_HOST_NETWORK = Rule("say", Action.WARN, privileges=(PrivilegePattern.parse("network=host"),))
GROWN = Rule("grown", Action.HOLD, grown=True)
UNSIGNED = Rule("unsigned", Action.HOLD, signed=False)


def decision(*, approved: bool) -> Decision:
    return Decision(approved, "alice", datetime.now(UTC), "looked at it")


class World:
    """A registry behind both wrappers, under one policy after the other."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.behind = MemoryRegistry()
        self.counted: list[Action] = []
        self.follow(Policy())

    def follow(self, policy: Policy) -> None:
        """As a server does that is started with this policy."""
        judge = Judge(self.behind, policy, self.store, SystemClock(), self.counted.append)
        self.registry = Withhold(Admit(self.behind, judge), judge)

    async def blob(self, content: bytes, media_type: str, repository: Repository) -> Descriptor:
        upload = await self.behind.begin_upload(repository)
        await upload.append(one(content))
        held = await upload.commit(Digest.of(content))
        return Descriptor(media_type, held.digest, held.size_bytes)

    async def manifest(self, config: Any, repository: Repository = HERE, **members: Any) -> Manifest:
        """A plugin whose blobs are there; ``config``: members, or bytes."""
        content = config if isinstance(config, bytes) else json.dumps(config).encode()
        described = await self.blob(content, media_types.DOCKER_PLUGIN_CONFIG, repository)
        body = {"schemaVersion": 2, "config": described.to_json(), "layers": [], **members}
        return Manifest.parse(json.dumps(body).encode(), members.get("mediaType", media_types.DOCKER_MANIFEST))

    async def push(
        self, config: Any, tag: Tag = TAG, repository: Repository = HERE
    ) -> tuple[Manifest, tuple[str, ...]]:
        manifest = await self.manifest(config, repository)
        return manifest, await self.registry.put_manifest(repository, manifest, [tag])

    async def sign(self, manifest: Manifest, repository: Repository = HERE) -> None:
        signature = await self.manifest(
            b"{}",
            repository,
            mediaType=media_types.OCI_MANIFEST,
            artifactType="application/vnd.dev.cosign.artifact.sig.v1+json",
            subject=manifest.descriptor.to_json(),
        )
        await self.behind.put_manifest(repository, signature)

    async def state(self, manifest: Manifest, repository: Repository = HERE) -> State | None:
        known = await self.store.admission(repository, manifest.digest)
        return None if known is None else known.state

    async def gives(self, target: Tag | Digest, repository: Repository = HERE) -> bool:
        try:
            await self.registry.get_manifest(repository, target)
        except Denied:
            return False
        return True


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that is up to date: making one takes long."""
    folder = tmp_path_factory.mktemp("empty") / "data"

    async def make() -> None:
        async with Store.open(folder):
            pass

    asyncio.run(make())
    return folder


@pytest.fixture
async def world(empty: Path, tmp_path: Path) -> AsyncIterator[World]:
    shutil.copytree(empty, tmp_path / "data")
    async with Store.open(tmp_path / "data") as store:
        yield World(store)


async def test_what_is_let_in_is_taken_and_given_without_a_word(world: World) -> None:
    world.follow(Policy([NO_ROOT]))
    manifest, advice = await world.push(HOST)
    assert advice == ()
    assert await world.registry.get_manifest(HERE, TAG) == manifest
    assert await world.state(manifest) is State.ADMITTED
    assert world.counted == [Action.ALLOW]


async def test_what_is_denied_is_not_stored_and_the_reason_is_told(world: World) -> None:
    world.follow(Policy([NO_ROOT]))
    with pytest.raises(Denied, match=r"is denied by the rule 'no-root': it asks for mount: /$") as refused:
        await world.push(ROOT)
    assert refused.value.detail["rule"] == "no-root"
    with pytest.raises(ManifestUnknown):
        await world.behind.resolve(HERE, TAG)
    assert await world.store.admissions() == []
    assert world.counted == [Action.DENY]


async def test_a_warning_is_given_as_advice(world: World) -> None:
    world.follow(Policy([SAY_HOST_NETWORK]))
    _, advice = await world.push(HOST)
    assert advice == ("say: it asks for network: host",)
    assert await world.gives(TAG)
    assert world.counted == [Action.WARN]


async def test_what_is_held_is_stored_and_given_once_it_is_approved(world: World) -> None:
    world.follow(Policy([HOST_NETWORK]))
    manifest, (advice,) = await world.push(HOST)
    assert advice == (
        f"acme/driver is held by the rule 'host-network': it asks for network: host; to let it in, "
        f"on the mirror: plugin-mirror admission approve acme/driver@{manifest.digest}"
    )
    assert await world.registry.resolve(HERE, TAG) == manifest.descriptor
    for target in (TAG, manifest.digest):
        with pytest.raises(Denied) as refused:
            await world.registry.get_manifest(HERE, target)
        assert str(refused.value) == advice

    assert (await world.store.decide(HERE, manifest.digest, decision(approved=True))).state is State.APPROVED
    assert await world.gives(TAG)
    assert await world.gives(manifest.digest)
    await world.store.decide(HERE, manifest.digest, decision(approved=False))
    with pytest.raises(Denied, match=r"was rejected by alice on \d{4}-\d\d-\d\d: looked at it"):
        await world.registry.get_manifest(HERE, TAG)
    with pytest.raises(Denied, match="was rejected by alice"):
        await world.push(HOST)
    assert world.counted == [Action.HOLD, Action.HOLD]


async def test_an_approval_is_of_one_name_and_one_digest(world: World) -> None:
    world.follow(Policy([HOST_NETWORK]))
    manifest, _ = await world.push(HOST)
    await world.store.decide(HERE, manifest.digest, decision(approved=True))
    await world.push(HOST, repository=OTHER)
    other, _ = await world.push(HOST | {"Description": "another"}, Tag("2"))
    assert await world.gives(TAG)
    assert not await world.gives(TAG, OTHER)
    assert not await world.gives(other.digest)


async def test_a_plugin_can_be_approved_before_it_comes(world: World) -> None:
    world.follow(Policy(default=Action.HOLD))
    manifest = await world.manifest(HOST)
    await world.store.decide(HERE, manifest.digest, decision(approved=True))
    assert await world.registry.put_manifest(HERE, manifest, [TAG]) == ()
    assert await world.gives(TAG)


async def test_an_approval_does_not_let_in_what_is_denied(world: World) -> None:
    world.follow(Policy([HOST_NETWORK]))
    manifest, _ = await world.push(ROOT)
    await world.store.decide(HERE, manifest.digest, decision(approved=True))
    assert await world.gives(TAG)
    world.follow(Policy([NO_ROOT, HOST_NETWORK]))
    assert not await world.gives(TAG)
    assert await world.state(manifest) is State.DENIED


async def test_what_was_here_before_the_policy_is_judged_when_it_is_asked_for(world: World) -> None:
    manifest, _ = await world.push(HOST)
    world.follow(Policy([HOST_NETWORK]))
    assert not await world.gives(TAG)
    assert await world.state(manifest) is State.HELD
    world.follow(Policy())
    assert await world.gives(TAG)
    assert await world.state(manifest) is State.ADMITTED


async def test_what_asks_for_more_than_the_last_one_is_held_until_it_is_approved(world: World) -> None:
    world.follow(Policy([GROWN]))
    _, advice = await world.push(HOST, Tag("1"))
    assert advice == ()  # it is the first: there is nothing to compare it with
    _, advice = await world.push(HOST | {"Description": "2"}, Tag("2"))
    assert advice == ()
    _, advice = await world.push(HOST | {"Description": "fewer"}, Tag("2"))
    third, (advice,) = await world.push(ROOT, Tag("3"))
    assert "it asks for more than the last one that was let in: mount: /;" in advice
    fourth, (advice,) = await world.push(ROOT | {"Description": "4"}, Tag("4"))
    assert not await world.gives(Tag("3"))
    await world.store.decide(HERE, third.digest, decision(approved=True))
    assert await world.gives(Tag("3"))
    assert await world.gives(Tag("1"))
    assert not await world.gives(Tag("4"))  # it was judged when it came
    _, advice = await world.push(ROOT | {"Description": "5"}, Tag("5"))
    assert advice == ()
    assert await world.state(fourth) is State.HELD


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
    world.follow(Policy([UNSIGNED]))  # the registry in memory moves no count
    assert await world.gives(TAG)


async def test_a_signature_under_the_tag_where_cosign_puts_it(world: World) -> None:
    world.follow(Policy([UNSIGNED]))
    manifest, _ = await world.push(HOST)
    await world.behind.put_manifest(HERE, await world.manifest({}), [Tag(f"sha256-{manifest.digest.hex}.sig")])
    world.follow(Policy([UNSIGNED]))
    assert await world.gives(TAG)


def layer_of(program: bytes) -> bytes:
    return zipped(tar(entry("driver", program, mode=0o755)))


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (layer_of(elf(62)), None),
        (layer_of(elf(183)), "it is for linux/arm64"),
        (layer_of(b"#!/bin/sh"), "it does not say what it runs on"),
        (layer_of(elf(62))[:-12], "it does not say what it runs on"),
        (b"garbage", "it does not say what it runs on"),
    ],
    ids=["ours", "other", "script", "cut", "garbage"],
)
async def test_the_platform_is_that_of_the_program(world: World, layer: bytes, why: str | None) -> None:
    other = Rule("other", Action.DENY, platforms=(Platform("linux", "arm64"), None))
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
        (b'{"Linux": {"AllowAllDevices": true}, "linux": null}', "Linux is there more than once"),
        (
            json.dumps({"Env": [], "Mounts": [{"Source": f"/{n}"} for n in range(1001)]}).encode(),
            "more than is looked at",
        ),
        (json.dumps({"Mounts": [{"Source": "/" + "x" * 70000}]}).encode(), "more than is looked at"),
        (b" " * (4 * 1024 * 1024 + 1), "has more than 4194304 bytes"),
    ],
)
async def test_what_cannot_be_judged_is_denied(world: World, config: bytes, reason: str) -> None:
    world.follow(Policy([Rule("ours", Action.ALLOW, names=(NamePattern("acme/*"),))]))
    with pytest.raises(Denied, match=f"by the rule 'unreadable': it cannot be judged: its config .*{reason}"):
        await world.push(config)


async def test_what_is_no_plugin_is_no_concern(world: World) -> None:
    world.follow(Policy(default=Action.DENY))
    config = await world.blob(b"{}", media_types.OCI_IMAGE_CONFIG, HERE)
    body = {"schemaVersion": 2, "config": config.to_json(), "layers": []}
    image = Manifest.parse(json.dumps(body).encode(), media_types.OCI_MANIFEST)
    assert await world.registry.put_manifest(HERE, image, [TAG]) == ()
    assert await world.registry.get_manifest(HERE, TAG) == image


async def test_an_image_that_is_a_plugin_to_an_engine_is_denied(world: World) -> None:
    world.follow(Policy())
    config = await world.blob(b"{}", media_types.DOCKER_IMAGE_CONFIG, HERE)
    hidden = await world.blob(json.dumps(ROOT).encode(), media_types.DOCKER_PLUGIN_CONFIG, HERE)
    body = {"schemaVersion": 2, "config": config.to_json(), "Config": hidden.to_json(), "layers": []}
    image = Manifest.parse_stored(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
    assert not image.is_plugin
    with pytest.raises(Denied, match="the manifest has 'Config', which engines read as 'config'"):
        await world.registry.put_manifest(HERE, image, [TAG])
    await world.behind.put_manifest(HERE, image, [TAG])
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

    monkeypatch.setattr(Store, "admission", unexpected)
    assert not await world.gives(TAG)
    assert not await world.gives(Tag("2"))
