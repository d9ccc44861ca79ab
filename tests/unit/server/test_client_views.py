"""Tags that depend on the client, over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime

import pytest

from mirror.filters.authorize import AnonymousRights, Authorize
from mirror.filters.by_platform import PlatformViews
from mirror.filters.engine_gate import EngineViews
from mirror.filters.engine_tracking import EngineTracker
from mirror.oci import Manifest, Tag
from mirror.oci.media_types import DOCKER_MANIFEST, OCI_INDEX
from mirror.oci.name_pattern import NamePattern
from mirror.plugin.policy.engine_vulnerabilities import KnownEngines, Treatment
from mirror.records.hosts import Host
from mirror.records.platform_rules import PlatformRule, PlatformTags
from mirror.registry.memory import MemoryRegistry
from mirror.runtime.clock import SystemClock
from mirror.server.forwarded import ForwardedHeaders, TrustedProxies
from tests.support.served import MANIFEST, REPOSITORY, Served, digest, put_plugin, served

AMD64 = r"docker/26.1.5 go/go1.21 os/linux arch/amd64 UpstreamClient(Docker-Client/26.1.5 \(linux\))"
ARM64 = AMD64.replace("amd64", "arm64")
RULE = PlatformRule(NamePattern("contiv/*"), "latest", {"amd64": "1.0", "s390x": "absent"}, "amd64")
PATH = f"/v2/{REPOSITORY}/manifests"


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    """A server with a plugin for one of two platforms."""
    registry = MemoryRegistry()
    await put_plugin(registry)
    views = PlatformViews(PlatformTags([RULE]))
    async with served(registry, views=[views]) as server:
        yield server


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("target", "agent", "status", "vary"),
    [
        ("latest", AMD64, 200, "User-Agent, Accept"),
        ("latest", ARM64, 404, "User-Agent, Accept"),
        ("latest", AMD64.replace("amd64", "s390x"), 404, "User-Agent, Accept"),
        ("latest", "curl/8.0", 200, "User-Agent, Accept"),
        ("latest", "", 200, "User-Agent, Accept"),
        ("1.0", ARM64, 200, None),
        (digest(MANIFEST), ARM64, 200, None),
        ("absent", ARM64, 404, None),
    ],
)
async def test_each_client_is_shown_its_own(
    server: Served, method: str, target: str, agent: str, status: int, vary: str | None
) -> None:
    answer = await server.ask(method, f"{PATH}/{target}", [("User-Agent", agent)])
    assert (answer.status, answer.headers["Vary"]) == (status, vary)
    if status == 200:
        assert answer.headers["Docker-Content-Digest"] == digest(MANIFEST)
        assert answer.headers["Content-Length"] == str(len(MANIFEST))
        assert answer.headers["Content-Type"] == DOCKER_MANIFEST


async def test_several_lines_of_accept_are_one_list(server: Served) -> None:
    member = await server.registry.resolve(REPOSITORY, Tag("1.0"))
    content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [member.to_json()]}).encode()
    await server.registry.put_manifest(REPOSITORY, Manifest.parse(content, OCI_INDEX), [Tag("latest")])
    accepting = [("Accept", DOCKER_MANIFEST), ("Accept", OCI_INDEX)]
    for agent, body in (("skopeo/1.9", content), (AMD64, MANIFEST)):
        answer = await server.ask("GET", f"{PATH}/latest", [*accepting, ("User-Agent", agent)])
        assert (answer.status, answer.body) == (200, body)


async def test_a_tag_is_pushed_as_it_is(server: Served) -> None:
    pushed = await server.ask(
        "PUT", f"{PATH}/latest", [("Content-Type", DOCKER_MANIFEST), ("User-Agent", ARM64)], MANIFEST
    )
    assert (pushed.status, pushed.headers["Vary"]) == (201, None)
    assert (await server.registry.resolve(REPOSITORY, Tag("latest"))).digest


async def test_who_may_not_pull_may_not_by_any_name() -> None:
    registry = MemoryRegistry()
    await put_plugin(registry)
    nobody = AnonymousRights(frozenset())
    views = PlatformViews(PlatformTags([RULE]))
    async with served(Authorize(registry, nobody), views=[views]) as server:
        for agent in (AMD64, ARM64, "curl"):
            answer = await server.ask("GET", f"{PATH}/latest", [("User-Agent", agent)])
            assert (answer.status, answer.code, answer.headers["Vary"]) == (403, "DENIED", "User-Agent, Accept")


@pytest.mark.parametrize(("treatment", "status", "vary"), [("warn", 200, None), ("refuse", 403, "User-Agent, Accept")])
async def test_engines_with_a_vulnerability_are_seen_where_they_are(
    treatment: str, status: int, vary: str | None
) -> None:
    hosts: list[Host] = []

    async def record(seen: Mapping[Host, datetime]) -> None:
        hosts.extend(seen)

    registry = MemoryRegistry()
    await put_plugin(registry)
    watch = EngineTracker(record, lambda _exposure: None, SystemClock(), known=KnownEngines(), tells=False)
    engines = EngineViews(watch, Treatment(treatment))
    async with served(
        registry,
        views=[PlatformViews(PlatformTags([RULE])), engines],
        forwarded=ForwardedHeaders(None, TrustedProxies(everyone=True)),
    ) as server:
        for agent, address in ((ARM64, "192.0.2.7"), ("curl/8.0", "192.0.2.8")):
            asked = [("User-Agent", agent), ("X-Forwarded-For", f"6.6.6.6, {address}")]
            answer = await server.ask("GET", f"{PATH}/1.0", asked)
            assert (answer.status, answer.headers["Vary"]) == (status if agent == ARM64 else 200, vary)
            assert (await server.ask("HEAD", f"{PATH}/1.0", asked)).status == 200
        asked = [("User-Agent", AMD64), ("X-Forwarded-For", "192.0.2.9")]
        by_platform = await server.ask("GET", f"{PATH}/latest", asked)
        assert (by_platform.status, by_platform.headers["Vary"]) == (status, "User-Agent, Accept")
    await watch.flush()
    assert hosts == [Host("192.0.2.7", "26.1.5", "linux", "arm64"), Host("192.0.2.9", "26.1.5", "linux", "amd64")]
