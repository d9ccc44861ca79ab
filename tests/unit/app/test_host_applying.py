"""Plans of ``host apply`` from what registries hold."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mirror.app.hosts import host_applying
from mirror.app.hosts.host_applying import HostPlanner
from mirror.hosts.desired_plugin import DesiredPlugin, PluginRelease
from mirror.hosts.engine_answers import read_info
from mirror.hosts.engine_api import RegistryLogin
from mirror.hosts.engine_errors import EngineRefused
from mirror.hosts.plugin_steps import StepKind
from mirror.oci import Digest, Manifest, Reference, Repository, Tag
from mirror.oci.errors import Denied, ManifestUnknown, Unsupported, UpstreamUnreachable
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.registry.memory import MemoryRegistry
from tests.support.served import manifest_bytes, put_blob, served
from tests.unit.hosts.fake_engine import FakeEngine

INFO = read_info({"RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8"]}})
PLUGIN = Repository("site/volumes")


class AskingEngine(FakeEngine):
    """An engine that sees another digest under a tag, or does not answer about digests."""

    def __init__(self, seen: Mapping[str, Digest] | None = None) -> None:
        super().__init__([])
        self.seen = seen or {}

    async def remote_digest(self, remote: str) -> Digest:
        if remote not in self.seen:
            raise EngineRefused("no", status=500, said="no")
        return self.seen[remote]


async def put(registry: MemoryRegistry, tag: str, **members: Any) -> Manifest:
    config, layer = json.dumps({"Description": tag, **members}).encode(), tag.encode()
    manifest = Manifest.parse(manifest_bytes(config, [layer]), DOCKER_MANIFEST)
    for content in (config, layer):
        await put_blob(registry, content, PLUGIN)
    await registry.put_manifest(PLUGIN, manifest, [Tag(tag)])
    return manifest


@asynccontextmanager
async def versions() -> AsyncIterator[tuple[str, MemoryRegistry, Manifest]]:
    """Yield the repository at a registry, the registry, and the manifest of version 1."""
    registry = MemoryRegistry()
    one = await put(registry, "1")
    async with served(registry) as server:
        yield f"127.0.0.1:{server.port}/{PLUGIN}", registry, one


def desired(reference: str, **given: Any) -> DesiredPlugin:
    return DesiredPlugin("f:1", Reference.parse(reference), "p:1", **given)


def planner(engine: FakeEngine, environment: Mapping[str, str] | None = None) -> HostPlanner:
    return HostPlanner(engine, INFO, {"DOCKER_CONFIG": "/nonexistent", **(environment or {})})


async def install(engine: FakeEngine, remote: str, config: bytes) -> None:
    release = PluginRelease(remote, Digest.of(config), PluginConfig.parse(config))
    engine.registry[remote] = release
    await engine.pull(remote, "p:1", release.privileges)


async def test_a_version_is_read_at_its_registry():
    async with versions() as (name, _, one):
        (planned,) = (await planner(AskingEngine()).plan([desired(f"{name}:1")])).plugins
    assert [step.kind for step in planned.steps] == [StepKind.INSTALL, StepKind.ENABLE]
    assert planned.target.release is not None
    assert (planned.target.release.remote, planned.target.release.digest) == (f"{name}:1", one.digest)


async def test_the_content_is_that_which_the_engine_sees():
    async with versions() as (name, registry, _):
        other = await put(registry, "for-another-platform")
        engine = AskingEngine({f"{name}:1": other.digest})
        (planned,) = (await planner(engine).plan([desired(f"{name}:1")])).plugins
    assert planned.target.release is not None
    assert planned.target.release.digest == other.digest


async def test_a_tag_that_has_moved_from_the_digest_of_the_file_is_refused():
    async with versions() as (name, registry, one):
        reference = f"{name}:1@{one.digest}"
        (planned,) = (await planner(AskingEngine()).plan([desired(reference)])).plugins
        assert planned.target.release is not None
        assert planned.target.release.remote == f"{name}:1"
        await registry.put_manifest(PLUGIN, await put(registry, "2"), [Tag("1")])
        (planned,) = (await planner(AskingEngine()).plan([desired(reference)])).plugins
    assert isinstance(planned.problem, Denied)


async def test_the_way_back_is_the_installed_version_at_its_registry():
    async with versions() as (name, registry, one):
        await put(registry, "2")
        engine = AskingEngine()
        await install(engine, f"{name}:1", b'{"Description": "1"}')
        (planned,) = (await planner(engine).plan([desired(f"{name}:2")])).plugins
        assert planned.way_back is not None
        assert planned.way_back.remote == f"{name}:1"
        await registry.put_manifest(PLUGIN, one, [Tag("stable")])
        await registry.put_manifest(PLUGIN, await put(registry, "3"), [Tag("1")])
        (planned,) = (await planner(engine).plan([desired(f"{name}:2")])).plugins
        assert planned.way_back is not None
        assert planned.way_back.remote == f"{name}:stable"
        await registry.delete_tag(PLUGIN, Tag("stable"))
        (planned,) = (await planner(engine).plan([desired(f"{name}:2")])).plugins
        assert isinstance(planned.problem, Unsupported)
        (planned,) = (await planner(engine).plan([desired(f"{name}:2")], without_rollback=True)).plugins
        assert planned.problem is None


async def test_a_registry_that_does_not_have_the_plugin_or_does_not_answer_is_a_problem_of_this_plugin():
    async with versions() as (name, _, _):
        absent, removed, here = (
            await planner(AskingEngine()).plan(
                [desired(f"{name}:nope"), desired("m:5000/x:1", present=False), desired(f"{name}:1")]
            )
        ).plugins
        assert isinstance(absent.problem, ManifestUnknown)
        assert removed.problem is None
        assert here.problem is None
    (planned,) = (await planner(AskingEngine()).plan([desired("127.0.0.1:9/x:1")])).plugins
    assert isinstance(planned.problem, UpstreamUnreachable)


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("sshfs:1", "library/sshfs"),
        ("docker.io/vieux/sshfs:1", "vieux/sshfs"),
        ("mirror:5000/sshfs:1", "sshfs"),
    ],
)
def test_a_name_with_one_component_is_in_library_on_docker_hub(reference: str, repository: str):
    assert host_applying._repository_of(Reference.parse(reference)).name == repository


async def test_plugins_that_the_file_does_not_name_are_listed():
    engine = AskingEngine()
    await install(engine, "m:5000/x:1", b"{}")
    assert (await planner(engine).plan([])).others == ("p:1",)


@pytest.mark.parametrize("host", ["127.0.0.1", "other"])
async def test_the_login_of_the_user_is_found(tmp_path: Path, host: str):
    async with versions() as (name, _, _):
        registry, _, _ = name.partition("/")
        auth = base64.b64encode(b"ci:secret").decode()
        key = registry if host == "127.0.0.1" else host
        (tmp_path / "config.json").write_text(json.dumps({"auths": {key: {"auth": auth}}}))
        found = planner(AskingEngine(), {"DOCKER_CONFIG": str(tmp_path)})
        await found.plan([desired(f"{name}:1")])
        expected = RegistryLogin(registry, "ci", "secret") if key == registry else None
        assert found.login(f"{name}:1") == expected
