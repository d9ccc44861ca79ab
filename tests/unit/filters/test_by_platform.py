"""One tag for the variants of a plugin on all platforms."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.access.client import Client
from mirror.filters.by_platform import ByPlatform, PlatformViews
from mirror.oci import Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import ConfigurationFault, Denied, ManifestUnknown, NameInvalid
from mirror.oci.name_pattern import NamePattern
from mirror.records.platform_rules import PlatformRule, PlatformTags
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.staleness import StaleManifest, Staleness, staleness_of
from mirror.registry.streams import single_chunk
from mirror.wire.user_agent import Engine

HERE, OTHER, LATEST = Repository("acme/driver"), Repository("other/driver"), Tag("latest")
AMD64, ARM64, ARM, SILENT = (
    Client(Engine("26.1.5", architecture, "linux"), takes_index=True)
    for architecture in ("amd64", "arm64", "arm", None)
)
CURL, SKOPEO = Client(), Client(takes_index=True)
BY_TAG = PlatformRule(NamePattern("acme/*"), "*", {"amd64": "{tag}-amd64", "arm64": "{tag}-arm64"}, "amd64")
BY_INDEX = PlatformRule(NamePattern("acme/driver"), "latest", None, "amd64")
NO_DEFAULT = PlatformRule(NamePattern("acme/driver"), "latest", {"arm64": "latest-arm64"})


async def put(registry: MemoryRegistry, tag: str, platform: str) -> Manifest:
    """Store a plugin for a platform in both repositories."""
    content = json.dumps({"Description": platform}).encode()
    body = {
        "schemaVersion": 2,
        "mediaType": media_types.DOCKER_MANIFEST,
        "config": {
            "mediaType": media_types.DOCKER_PLUGIN_CONFIG,
            "size": len(content),
            "digest": str(Digest.of(content)),
        },
        "layers": [],
    }
    manifest = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
    for repository in (HERE, OTHER):
        upload = await registry.begin_upload(repository)
        await upload.append(single_chunk(content))
        await upload.commit(Digest.of(content))
        await registry.put_manifest(repository, manifest, [Tag(tag)])
    return manifest


async def put_index(registry: MemoryRegistry, tag: str, **members: Manifest) -> Manifest:
    body = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_INDEX,
        "manifests": [
            member.descriptor.to_json() | {"platform": {"os": "linux", "architecture": architecture}}
            for architecture, member in members.items()
        ],
    }
    manifest = Manifest.parse(json.dumps(body).encode(), media_types.OCI_INDEX)
    await registry.put_manifest(HERE, manifest, [Tag(tag)])
    return manifest


class World:
    """A registry with plugins for two platforms, and an index of both under the tag."""

    def __init__(self) -> None:
        self.registry = MemoryRegistry()

    async def fill(self) -> None:
        self.amd64 = await put(self.registry, "latest-amd64", "amd64")
        self.arm64 = await put(self.registry, "latest-arm64", "arm64")
        self.index = await put_index(self.registry, "latest", amd64=self.amd64, arm64=self.arm64)

    async def shows(self, rule: PlatformRule, client: Client, tag: Tag = LATEST) -> str:
        """Return the name of the manifest that a client sees under a tag. Fails unless both ways to ask agree."""
        seen = ByPlatform(self.registry, PlatformTags([rule]), client)
        manifest = await seen.get_manifest(HERE, tag)
        assert await seen.resolve(HERE, tag) == manifest.descriptor
        names = {self.amd64.digest: "amd64", self.arm64.digest: "arm64", self.index.digest: "index"}
        return names[manifest.digest]


@pytest.fixture
async def world() -> World:
    world = World()
    await world.fill()
    return world


@pytest.mark.parametrize(
    ("rule", "client", "expected"),
    [
        (BY_TAG, AMD64, "amd64"),
        (BY_TAG, ARM64, "arm64"),
        (BY_TAG, SILENT, "amd64"),
        (BY_TAG, CURL, "amd64"),
        (BY_TAG, SKOPEO, "index"),
        (BY_INDEX, AMD64, "amd64"),
        (BY_INDEX, ARM64, "arm64"),
        (BY_INDEX, SILENT, "amd64"),
        (BY_INDEX, CURL, "amd64"),
        (BY_INDEX, SKOPEO, "index"),
        (NO_DEFAULT, ARM64, "arm64"),
        (NO_DEFAULT, CURL, "index"),
        (NO_DEFAULT, SILENT, "index"),
    ],
)
async def test_what_a_client_is_shown(world: World, rule: PlatformRule, client: Client, expected: str) -> None:
    assert await world.shows(rule, client) == expected


@pytest.mark.parametrize("rule", [BY_TAG, BY_INDEX])
async def test_there_is_nothing_for_another_architecture(world: World, rule: PlatformRule) -> None:
    seen = ByPlatform(world.registry, PlatformTags([rule]), ARM)
    for asked in (seen.get_manifest, seen.resolve):
        with pytest.raises(
            ManifestUnknown, match="acme/driver:latest is not available for arm; available for: amd64, arm64"
        ):
            await asked(HERE, LATEST)


async def test_a_platform_that_was_never_pushed_is_said_to_be_missing(world: World) -> None:
    seen = ByPlatform(world.registry, PlatformTags([BY_TAG]), ARM64)
    with pytest.raises(ManifestUnknown, match=r"has no manifest 9\.9-arm64"):
        await seen.get_manifest(HERE, Tag("9.9"))


async def test_by_digest_and_by_its_own_tag_everything_is_what_it_is(world: World) -> None:
    seen = ByPlatform(world.registry, PlatformTags([BY_TAG]), ARM64)
    assert await seen.get_manifest(HERE, world.amd64.digest) == world.amd64
    assert await seen.get_manifest(HERE, Tag("latest-amd64")) == world.amd64
    assert (await seen.resolve(OTHER, Tag("latest-amd64"))).digest == world.amd64.digest


async def test_a_tag_that_names_no_index_is_what_it_is(world: World) -> None:
    await world.registry.put_manifest(HERE, world.arm64, [LATEST])
    assert await world.shows(BY_INDEX, AMD64) == "arm64"
    assert await world.shows(BY_TAG, SKOPEO) == "amd64"  # skopeo asked for an index, and there is none


async def test_a_tag_need_not_be_there_itself(world: World) -> None:
    await world.registry.delete_tag(HERE, LATEST)
    assert await world.shows(BY_TAG, ARM64) == "arm64"
    assert await world.shows(BY_TAG, SKOPEO) == "amd64"


async def test_an_index_that_may_be_out_of_date_makes_its_member_so(world: World) -> None:
    why = Staleness(60, "the upstream is gone")

    class Stale(DelegatingRegistry):
        async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
            found = await super().get_manifest(repository, target)
            return StaleManifest.of(found, why) if isinstance(target, Tag) else found

    seen = ByPlatform(Stale(world.registry), PlatformTags([BY_INDEX]), ARM64)
    assert staleness_of(await seen.get_manifest(HERE, LATEST)) == why
    assert staleness_of(await seen.resolve(HERE, LATEST)) == why


async def test_views(world: World) -> None:
    views = PlatformViews(PlatformTags([BY_TAG]))
    assert views.varies_by_client(HERE, LATEST)
    assert not views.varies_by_client(OTHER, LATEST)
    assert not views.varies_by_client(HERE, Tag("latest-arm64"))
    assert (await views.view_for(ARM64, world.registry).get_manifest(HERE, LATEST)) == world.arm64


def test_the_first_rule_that_covers_a_tag_decides() -> None:
    rules = PlatformTags([BY_INDEX, BY_TAG])
    assert rules.of(HERE, LATEST) is BY_INDEX
    assert rules.of(HERE, Tag("1.0")) is BY_TAG
    assert rules.of(OTHER, LATEST) is None


@pytest.mark.parametrize(
    ("platforms", "default", "problem"),
    [
        ({"amd64": "a b"}, None, "'a b' is not a tag"),
        ({"amd64": "-{tag}"}, None, "is not a tag"),
        ({"amd64": "{tag}"}, "arm64", "'arm64' is none of the platforms"),
        ({}, "arm64", "fix: add it under platforms"),
    ],
)
def test_a_rule_that_makes_no_sense(platforms: dict[str, str], default: str | None, problem: str) -> None:
    with pytest.raises(ConfigurationFault, match=problem):
        PlatformRule(NamePattern("acme/*"), "*", platforms, default)


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True))
def test_the_tag_of_a_platform_is_covered_by_no_rule_that_gives_it(name: str) -> None:
    tag = Tag(name)
    if not BY_TAG.covers(HERE, tag):
        return
    try:
        given = BY_TAG.tag_for(tag, "arm64")
    except NameInvalid:
        assert len(f"{name}-arm64") > 128
    else:
        assert given == Tag(f"{name}-arm64")
        assert not BY_TAG.covers(HERE, given)


@pytest.mark.parametrize("rule", [BY_INDEX, BY_TAG])
async def test_head_of_a_tag_is_answered_where_its_manifest_is_withheld(rule: PlatformRule) -> None:
    class Withheld(DelegatingRegistry):
        async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
            raise Denied("it was rejected")

    registry = MemoryRegistry()
    plugin = await put(registry, "latest", "amd64")
    await put(registry, "latest-amd64", "amd64")
    for client in (AMD64, SKOPEO):
        seen = ByPlatform(Withheld(registry), PlatformTags([rule]), client)
        assert (await seen.resolve(HERE, LATEST)).digest == plugin.digest
        with pytest.raises(Denied, match="it was rejected"):
            await seen.get_manifest(HERE, LATEST)
