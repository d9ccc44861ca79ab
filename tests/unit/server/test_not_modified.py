"""304 beside withheld content, tags that differ between clients, stale copies and pull-through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mirror.filters.by_platform import PlatformViews
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import Denied, RightMissing
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.oci.name_pattern import NamePattern
from mirror.records.platform_rules import PlatformRule, PlatformTags
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Blob
from mirror.registry.staleness import StaleDescriptor, StaleManifest, Staleness
from mirror.wire.ranges import RangeRequest
from tests.support.served import LAYER, MANIFEST, REPOSITORY, Served, digest, manifest_bytes, put_plugin, served

URL = f"/v2/{REPOSITORY}"
AGENT = "docker/26.1.5 go/go1.21 os/linux arch/{} UpstreamClient(Docker-Client/26.1.5)"
HAS_IT = ("If-None-Match", f'"{digest(MANIFEST)}"')


class Withholding(DelegatingRegistry):
    """A registry that withholds all content, as for plugins that are not admitted. Names have their digests."""

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        raise Denied("withheld")

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        raise Denied("withheld")


class Forbidding(DelegatingRegistry):
    """A registry from which the caller may not pull."""

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        raise RightMissing("forbidden", action="pull")

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        raise RightMissing("forbidden", action="pull")

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        raise RightMissing("forbidden", action="pull")

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        raise RightMissing("forbidden", action="pull")


class Stale(DelegatingRegistry):
    """A registry that cannot confirm its copies."""

    staleness = Staleness(60, "gone")

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        found = await super().resolve(repository, target)
        return StaleDescriptor(found.media_type, found.digest, found.size_bytes, staleness=self.staleness)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        return StaleManifest.of(await super().get_manifest(repository, target), self.staleness)


class Unopened(DelegatingRegistry):
    """A registry whose blobs would be fetched if somebody opened them."""

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None
    ) -> AsyncIterator[Blob]:
        raise AssertionError("opened")
        yield


@asynccontextmanager
async def filled(kind: type[DelegatingRegistry], views: tuple[PlatformViews, ...] = ()) -> AsyncIterator[Served]:
    registry = MemoryRegistry()
    await put_plugin(registry)
    async with served(kind(registry), views=views) as server:
        yield server


@pytest.mark.parametrize(("kind", "get", "head"), [(Withholding, 403, 200), (Forbidding, 403, 403)])
@pytest.mark.parametrize("path", ["manifests/1.0", f"manifests/{digest(MANIFEST)}", f"blobs/{digest(LAYER)}"])
@pytest.mark.parametrize("condition", ["*", f'"{digest(MANIFEST)}", "{digest(LAYER)}"'])
async def test_refused_content_is_refused_whatever_the_client_has(
    kind: type[DelegatingRegistry], get: int, head: int, path: str, condition: str
) -> None:
    async with filled(kind) as server:
        for method, status in (("GET", get), ("HEAD", head)):
            answer = await server.ask(method, f"{URL}/{path}", [("If-None-Match", condition)])
            assert answer.status == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_each_client_is_compared_with_its_own_platform(method: str) -> None:
    rule = PlatformRule(NamePattern("contiv/*"), "latest", {"amd64": "1.0", "arm64": "arm"}, "amd64")
    async with filled(DelegatingRegistry, (PlatformViews(PlatformTags([rule])),)) as server:
        other = Manifest.parse(manifest_bytes(annotations={"for": "arm"}), DOCKER_MANIFEST)
        await server.registry.put_manifest(REPOSITORY, other, [Tag("arm")])
        for architecture, status in (("amd64", 304), ("arm64", 200)):
            asked = [("User-Agent", AGENT.format(architecture)), HAS_IT]
            answer = await server.ask(method, f"{URL}/manifests/latest", asked)
            assert (answer.status, answer.headers["Vary"]) == (status, "User-Agent, Accept")
            wanted = digest(MANIFEST) if status == 304 else str(other.digest)
            assert answer.headers["Docker-Content-Digest"] == wanted
            assert answer.headers["ETag"] == f'"{wanted}"'


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_copy_that_cannot_be_confirmed_says_so(method: str) -> None:
    async with filled(Stale) as server:
        answer = await server.ask(method, f"{URL}/manifests/1.0", [HAS_IT])
        assert (answer.status, answer.headers["Age"]) == (304, "60")
        assert answer.headers["Warning"].startswith("110 ")


async def test_a_blob_that_the_client_has_is_not_opened() -> None:
    async with filled(Unopened) as server:
        answer = await server.ask("GET", f"{URL}/blobs/{digest(LAYER)}", [("If-None-Match", f'"{digest(LAYER)}"')])
        assert answer.status == 304
