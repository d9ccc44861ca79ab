"""Content that was pulled through gives way on a full disk, before anything is refused."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ageing import make_unused
from tests.harness.disks import small_disk
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror
from tests.harness.packing import digest_of
from tests.harness.pushing import push_blob, send
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"


def push_image(url: str, name: str, layer: bytes) -> None:
    """Push an image with one layer under the tag 1."""
    for blob in (b"{}", layer):
        push_blob(f"{url}/v2/{name}", blob)
    described = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(layer), "size": len(layer)}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(b"{}"), "size": 2}
    manifest = {"schemaVersion": 2, "mediaType": IMAGE_TYPE, "config": config, "layers": [described]}
    send("PUT", f"{url}/v2/{name}/manifests/1", json.dumps(manifest).encode(), IMAGE_TYPE)


def get(mirror: Mirror, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120)
    try:
        connection.request("GET", path, headers={"Accept": IMAGE_TYPE})
        found = connection.getresponse()
        return found.status, found.read()
    finally:
        connection.close()


def pull(mirror: Mirror, name: str) -> int:
    """Pull an image by its tag. Return the status of its layer, whose bytes are verified."""
    _, manifest = get(mirror, f"/v2/hub/{name}/manifests/1")
    parsed = json.loads(manifest)
    for blob in (parsed["config"], parsed["layers"][0]):
        found, content = get(mirror, f"/v2/hub/{name}/blobs/{blob['digest']}")
        assert found != 200 or digest_of(content) == blob["digest"]
    return found


def held_bytes(mirror: Mirror) -> int:
    return sum(file.stat().st_size for file in mirror.data.glob("blobs/*/*/*"))


def figures(mirror: Mirror) -> dict[str, float]:
    lines = get(mirror, "/metrics")[1].decode().splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("plugin_mirror_e")}


@pytest.fixture(scope="module")
def upstream() -> Iterator[DockerRegistry]:
    require(DockerRegistry.missing())
    with DockerRegistry() as registry:
        for name in ("one", "two", "three"):
            push_image(registry.url, name, os.urandom(12 * MIB))
        yield registry


@pytest.fixture
def mirror(upstream: DockerRegistry, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Mirror]:
    """Two processes on a disk of 96 MiB, of which 32 MiB are for blobs."""
    with small_disk(tmp_path / "disk", 96 * MIB) as disk:
        sections: dict[str, Any] = {
            "server": {"workers": 2},
            "storage": {"path": str(disk / "data")},
            "upstreams": {"hub": {"url": upstream.url, "plain_http": True}},
            "proxy": [{"from": "hub/**", "to": "hub/**"}],
            "pull_through": getattr(request, "param", {}),
        }
        with Mirror(data=disk / "data", sections=sections) as mirror:
            yield mirror


def test_a_download_that_does_not_fit_takes_the_place_of_what_was_pulled_least_recently(mirror: Mirror) -> None:
    assert [pull(mirror, "one"), pull(mirror, "two")] == [200, 200]
    make_unused(mirror.data, days=2)
    assert pull(mirror, "two") == 200
    assert pull(mirror, "three") == 200
    assert held_bytes(mirror) < 25 * MIB
    assert figures(mirror)["plugin_mirror_evicted_tags_total"] == 1
    make_unused(mirror.data, days=1)
    assert pull(mirror, "one") == 200  # comes back in the same way


def test_a_push_that_leaves_little_room_makes_tags_go_before_the_next_one_is_refused(mirror: Mirror) -> None:
    assert [pull(mirror, "one"), pull(mirror, "two")] == [200, 200]
    make_unused(mirror.data, days=2)
    push_image(mirror.url, "pushed/one", os.urandom(6 * MIB))
    wait_until(lambda: held_bytes(mirror) < 20 * MIB, "a tag to be evicted")
    push_image(mirror.url, "pushed/two", os.urandom(6 * MIB))
    assert figures(mirror)["plugin_mirror_emergency_evictions_total"] >= 1
    assert [pull(mirror, "two"), get(mirror, "/readyz")[0]] == [200, 200]


@pytest.mark.parametrize("mirror", [{"when_full": "refuse"}], indirect=True)
def test_a_site_may_rather_have_new_content_refused(mirror: Mirror) -> None:
    assert [pull(mirror, "one"), pull(mirror, "two")] == [200, 200]
    make_unused(mirror.data, days=2)
    assert pull(mirror, "three") == 507
    assert [pull(mirror, "one"), pull(mirror, "two")] == [200, 200]


def test_what_was_pulled_a_moment_ago_stays(mirror: Mirror) -> None:
    assert [pull(mirror, "one"), pull(mirror, "two"), pull(mirror, "three")] == [200, 200, 507]
    assert [pull(mirror, "one"), pull(mirror, "two")] == [200, 200]
