"""One tag for all platforms, with real engines."""

from __future__ import annotations

import json
import platform
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.oci.media_types import OCI_INDEX
from tests.harness import plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.packing import MANIFEST_TYPE, pack
from tests.harness.pushing import push

pytestmark = pytest.mark.e2e

OURS = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
OTHER = {"amd64": "arm64", "arm64": "amd64"}[OURS]


@pytest.fixture(scope="module")
def both(registry: DockerRegistry) -> Iterator[Mirror]:
    """A mirror with one rule for the tag `latest` of repositories, and one for the indexes of an upstream."""
    sections = {
        "platform_tags": [
            {"name": "acme/*", "tag": "latest", "platforms": {"amd64": "latest-amd64", "arm64": "latest-arm64"}},
            {"name": "pulled/*", "tag": "*", "platforms": "index"},
        ],
        "upstreams": {"hub": {"url": registry.url, "plain_http": True}},
        "proxy": [{"from": "hub/indexed/*", "to": "pulled/*"}],
    }
    with Mirror(sections=sections) as mirror:
        yield mirror


def shown(mirror: Mirror, path: str, architecture: str, method: str = "GET") -> tuple[str, str]:
    """Return the digest and `Vary` header for an engine of an architecture.

    The client part of User-Agent always names the architecture of this machine.
    """
    request = urllib.request.Request(f"{mirror.url}/v2/{path}", method=method)
    request.add_header("User-Agent", f"docker/26.1.5 os/linux arch/{architecture} UpstreamClient(x arch/{OURS})")
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.headers["Docker-Content-Digest"], answer.headers["Vary"]


def test_an_engine_installs_its_own_and_another_is_shown_the_other(
    engine: Engine, both: Mirror, tmp_path: Path
) -> None:
    name = f"acme/driver{engine.version()[:2]}"
    digests = {
        architecture: push(
            pack(plugins.volume_plugin(tmp_path / architecture, version=architecture)),
            both.url,
            name,
            f"latest-{architecture}",
        )
        for architecture in (OURS, OTHER)
    }
    reference = f"{both.host}/{name}:latest"
    engine.docker("plugin", "install", reference)
    try:
        engine.docker("volume", "create", "--driver", reference, name.replace("/", "-"))
        assert engine.inspect_volume(name.replace("/", "-"))["Status"] == {"version": OURS}
        engine.docker("volume", "rm", name.replace("/", "-"))
        assert engine.inspect_plugin(reference)["Config"]["Description"] == f"Volumes in memory, version {OURS}"
    finally:
        engine.docker("plugin", "rm", "-f", reference)

    for architecture in (OURS, OTHER):
        for method in ("HEAD", "GET"):
            found = shown(both, f"{name}/manifests/latest", architecture, method)
            assert found == (digests[architecture], "User-Agent, Accept")


def test_an_engine_installs_its_own_out_of_an_upstreams_index(
    engine: Engine, both: Mirror, registry: DockerRegistry, tmp_path: Path
) -> None:
    name = f"driver{engine.version()[:2]}"
    packed = {one: pack(plugins.volume_plugin(tmp_path / one, version=one)) for one in (OURS, OTHER)}
    digests = {one: push(plugin, registry.url, f"indexed/{name}", one) for one, plugin in packed.items()}
    members = [
        {
            "mediaType": MANIFEST_TYPE,
            "digest": digests[one],
            "size": len(plugin.manifest),
            "platform": {"os": "linux", "architecture": one},
        }
        for one, plugin in packed.items()
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": members}).encode()
    url = f"{registry.url}/v2/indexed/{name}/manifests/1.0"
    put = urllib.request.Request(url, index, {"Content-Type": OCI_INDEX}, method="PUT")
    with urllib.request.urlopen(put, timeout=120):
        pass

    reference = f"{both.host}/pulled/{name}:1.0"
    engine.docker("plugin", "install", "--disable", reference)
    try:
        assert engine.inspect_plugin(reference)["Config"]["Description"] == f"Volumes in memory, version {OURS}"
    finally:
        engine.docker("plugin", "rm", "-f", reference)
    assert shown(both, f"pulled/{name}/manifests/1.0", OTHER) == (digests[OTHER], "User-Agent, Accept")
    asked = urllib.request.Request(f"{both.url}/v2/pulled/{name}/manifests/1.0", headers={"Accept": OCI_INDEX})
    with urllib.request.urlopen(asked, timeout=120) as answer:
        assert answer.read() == index
