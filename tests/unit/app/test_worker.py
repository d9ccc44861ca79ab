"""The parts of a serving process together: each limit on its work exists once, however the work arrives."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event, Lock
from typing import Any

import pytest
from aiohttp.test_utils import RawTestServer, TestClient

from mirror.access.client import Client
from mirror.app import worker
from mirror.app.configuration.serving_series import allocate_shared_metrics
from mirror.app.services import open_services
from mirror.app.worker import Service, Worker, build_service
from mirror.filters import shared_layers
from mirror.filters.admission.admission_controller import AdmissionController
from mirror.filters.plugin_checks import PluginChecker
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Manifest, Repository, Tag, media_types
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Registry
from mirror.runtime.logs import LogLines
from mirror.server.http_application import Application, build
from mirror.server.http_server import listen
from mirror.settings import Settings, load
from mirror.wire.user_agent import Engine
from tests.support.layers import entry, tar, zipped
from tests.support.served import digest, manifest_bytes, put_blob, served

ONE_EACH = {SharedLayerReader: 1, AdmissionController: 1, PluginChecker: 1}


def plugin(name: str) -> tuple[bytes, list[bytes], bytes]:
    """Return a plugin that requests privileges. Its two layers of some MiB occur in no other plugin."""
    tars = [tar(entry("bin/driver", f"{name} {number}".encode() + bytes(2_000_000))) for number in range(2)]
    layers = [zipped(content, 1) for content in tars]
    config = json.dumps(
        {
            "Env": [{"Name": "DEBUG", "Settable": ["value"], "Value": "0"}],
            "Network": {"Type": "host"},
            "rootfs": {"type": "layers", "diff_ids": [digest(content) for content in tars]},
        }
    ).encode()
    return config, layers, manifest_bytes(config, layers)


async def put(registry: Registry, name: str, tag: str = "1.0") -> None:
    config, layers, manifest = plugin(f"{name}:{tag}")
    for blob in (config, *layers):
        await put_blob(registry, blob, Repository(name))
    await registry.put_manifest(Repository(name), Manifest.parse(manifest, media_types.DOCKER_MANIFEST), [Tag(tag)])


def settings_of(folder: Path, port: int, **more: Any) -> Settings:
    flags: dict[str, Any] = {
        "server": {"listen": "127.0.0.1:5000"},
        "storage": {"path": str(folder / "data")},
        "upstreams": {"hub": {"url": f"http://127.0.0.1:{port}", "plain_http": True}},
        "proxy": [{"from": "hub/pulled/**", "to": "pulled/**"}],
        "mirrors": [
            {"name": "plain", "from": "hub/mirrored/plain", "to": "plain", "every": "1m"},
            {
                "name": "derived",
                "from": "hub/mirrored/derived",
                "to": "derived",
                "every": "1m",
                "derive": {"env": {"DEBUG": "1"}, "fix": True},
            },
        ],
        "admission": {
            "default": "hold",
            "rules": [{"name": "ours", "action": "allow", "platforms": ["linux/amd64"]}],
        },
    }
    return load(flags=flags | more)


def chain_of(registry: Any) -> str:
    """Return the class names of a registry and of the registries inside: ``Outer(Inner(Store))``."""
    inner = getattr(registry, "inner", None)
    name = type(registry).__name__
    return name if inner is None else f"{name}({chain_of(inner)})"


async def test_the_registry_that_is_served_is_the_one_that_the_architecture_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: dict[str, Any] = {}

    def capture(registry: Registry, **parts: Any) -> Application:
        built.update(parts, registry=registry)
        return build(registry, **parts)

    monkeypatch.setattr(worker, "build", capture)
    settings = settings_of(
        tmp_path,
        port=9,
        platform_tags=[{"name": "plugin", "tag": "1.0", "platforms": {"amd64": "1.0-amd64"}}],
        mirrors=[{"name": "kept", "from": "hub/kept", "to": "kept", "keep": {"pulled_within": "30d"}}],
        quotas=[{"pattern": "**", "tags": 100}],
    )
    async with working(settings):
        registry = built["registry"]
        for each in built["views"]:
            registry = each.view_for(Client(Engine("29.0.0", "amd64", "linux")), registry)
        architecture = (Path(__file__).parents[3] / "docs/ARCHITECTURE.md").read_text()
        assert f"`{chain_of(registry)}`" in architecture


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[type]:
    """Count the instances of the classes that a process should have once."""
    counts: Counter[type] = Counter()

    def count(kind: type) -> None:
        begin = kind.__init__  # type: ignore[misc]

        def counted(self: Any, *args: Any, **more: Any) -> None:
            counts[kind] += 1
            begin(self, *args, **more)

        monkeypatch.setattr(kind, "__init__", counted)

    for kind in ONE_EACH:
        count(kind)
    return counts


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[tuple[Service, TestClient[Any, Any]]]:
    lines = LogLines(io.StringIO())
    with listen("127.0.0.1", 0) as listener:
        async with (
            build_service(settings, Worker([listener], allocate_shared_metrics(settings)), lines) as service,
            TestClient(RawTestServer(service.application.handle)) as client,
        ):
            yield service, client
    lines.close()


async def push(client: TestClient[Any, Any], name: str) -> str:
    config, layers, manifest = plugin(name)
    for blob in (config, *layers):
        async with client.post(f"/v2/{name}/blobs/uploads/?digest={digest(blob)}", data=blob) as answer:
            assert answer.status == 201
    typed = {"Content-Type": media_types.DOCKER_MANIFEST}
    async with client.put(f"/v2/{name}/manifests/1.0", data=manifest, headers=typed) as answer:
        assert answer.status == 201, await answer.text()
    return digest(manifest)


async def pull(client: TestClient[Any, Any], name: str) -> int:
    async with client.get(f"/v2/{name}/manifests/1.0") as answer:
        return answer.status


async def approve(client: TestClient[Any, Any], reference: str) -> str:
    sent = {"reference": reference, "by": "alice"}
    async with client.post("/api/v1/admission/approve", json=sent, headers={"Host": "127.0.0.1:5000"}) as answer:
        (one,) = (await answer.json())["admissions"]
        return str(one["state"])


async def mirrored(client: TestClient[Any, Any], *names: str) -> None:
    async with asyncio.timeout(40):
        while {await pull(client, name) for name in names} != {403}:  # stored, and held for a decision
            await asyncio.sleep(0.05)


async def test_layers_are_read_two_at_a_time_whichever_way_they_come(
    tmp_path: Path, made: Counter[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, two, now, most, hops = Lock(), Event(), 0, 0, 0
    hop = shared_layers._hop

    def watched(steps: Iterator[int]) -> tuple[int, bool]:
        nonlocal now, most, hops
        with lock:
            now, hops = now + 1, hops + 1
            most = max(most, now)
            if now == 2:
                two.set()
        try:
            two.wait(30)  # the first hop waits for a second one, which may begin beside it
            time.sleep(0.002)  # long enough for a third one to be seen, if there were one
            return hop(steps)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(shared_layers, "_hop", watched)
    upstream = MemoryRegistry()
    for name in ("mirrored/plain", "mirrored/derived", "pulled/one", "pulled/two"):
        await put(upstream, name)
    async with served(upstream) as hub, working(settings_of(tmp_path, hub.port)) as (service, client):
        following = asyncio.create_task(service.follow())
        pulled = ["pulled/one", "pulled/two"]
        first, _, *statuses = await asyncio.gather(
            push(client, "pushed/one"), push(client, "pushed/two"), *(pull(client, name) for name in pulled)
        )
        assert statuses == [403, 403]  # held: no program tells the platform
        await mirrored(client, "plain", "derived")
        following.cancel()
        await asyncio.wait([following])
        assert await approve(client, f"pushed/one@{first}") == "approved"
        assert await pull(client, "pushed/one") == 200
    assert most == shared_layers._AT_ONCE == 2
    assert hops >= 12  # at least two hops for each of six plugins
    assert made == ONE_EACH


async def test_parts_are_built_once_and_only_when_they_are_needed(tmp_path: Path, made: Counter[type]) -> None:
    async with open_services(settings_of(tmp_path, 1)) as services:
        assert not made
        services.checked(services.checked(services.store))
        services.withheld(services.store)
        assert services.approvals.judge is services.judge
        assert services.upstreams is not None
        assert made == ONE_EACH
        first = await services.upstreams(["hub"])
        assert (await services.upstreams(["hub", "hub"]))["hub"] is first["hub"]
        assert services.ruleless_judge is services.ruleless_judge
        assert made == ONE_EACH | {AdmissionController: 2}
