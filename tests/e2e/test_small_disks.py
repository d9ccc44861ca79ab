"""A server whose disk is too small for what it is given: refused at once, and small things still work."""

import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.disks import small_disk
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror
from tests.harness.packing import digest_of
from tests.harness.pushing import push_blob, send
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


def push_image(url: str, name: str, tag: str, *layers: bytes) -> None:
    """Push content of these bytes, which no check of plugins reads."""
    config = b"{}"
    for blob in (config, *layers):
        push_blob(f"{url}/v2/{name}", blob)
    listed = [{"mediaType": LAYER_TYPE, "digest": digest_of(layer), "size": len(layer)} for layer in layers]
    root = {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)}
    manifest = {"schemaVersion": 2, "mediaType": IMAGE_TYPE, "config": root, "layers": listed}
    send("PUT", f"{url}/v2/{name}/manifests/{tag}", json.dumps(manifest).encode(), IMAGE_TYPE)


def answer(mirror: Mirror, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120)
    try:
        connection.request("GET", path, headers={"Accept": IMAGE_TYPE})
        found = connection.getresponse()
        return found.status, found.read()
    finally:
        connection.close()


def held_by_uploads(mirror: Mirror) -> int:
    return sum(file.stat().st_size for file in mirror.data.glob("uploads/*/data"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[DockerRegistry]:
    require(DockerRegistry.missing())
    with DockerRegistry() as registry:
        push_image(registry.url, "big/one", "1", os.urandom(48 * MIB))
        push_image(registry.url, "big/many", "1", *(os.urandom(11 * MIB) for _ in range(6)))
        push_image(registry.url, "small/one", "1", os.urandom(MIB))
        yield registry


@pytest.fixture
def mirror(upstream: DockerRegistry, tmp_path: Path) -> Iterator[Mirror]:
    """A server with the default settings of storage, on a disk of 96 MiB: 32 MiB are for blobs."""
    with small_disk(tmp_path / "disk", 96 * MIB) as disk:
        sections: dict[str, Any] = {
            "storage": {"path": str(disk / "data")},
            "upstreams": {"hub": {"url": upstream.url, "plain_http": True}},
            "proxy": [{"from": "hub/**", "to": "hub/**"}],
            "mirrors": [
                {"name": name, "from": f"hub/big/{name}", "to": f"mirrored/{name}"} for name in ("one", "many")
            ],
        }
        with Mirror(data=disk / "data", sections=sections) as mirror:
            yield mirror


def assert_small_things_work(mirror: Mirror) -> None:
    assert held_by_uploads(mirror) == 0
    assert answer(mirror, "/readyz")[0] == 200
    push_image(mirror.url, "pushed/small", "1", os.urandom(MIB))
    _, manifest = answer(mirror, "/v2/hub/small/one/manifests/1")
    (layer,) = json.loads(manifest)["layers"]
    found, content = answer(mirror, f"/v2/hub/small/one/blobs/{layer['digest']}")
    assert (found, digest_of(content)) == (200, layer["digest"])


def test_a_pull_through_that_does_not_fit(mirror: Mirror) -> None:
    _, manifest = answer(mirror, "/v2/hub/big/one/manifests/1")
    (layer,) = json.loads(manifest)["layers"]
    found, body = answer(mirror, f"/v2/hub/big/one/blobs/{layer['digest']}")
    (error,) = json.loads(body)["errors"]
    assert (found, "48.0 MiB do not fit" in error["message"], "fix: " in error["message"]) == (507, True, True)
    assert_small_things_work(mirror)


@pytest.mark.parametrize("rule", ["one", "many"])
def test_a_sync_that_does_not_fit(mirror: Mirror, rule: str) -> None:
    done = mirror.command("sync", rule, "--json", check=False)
    assert done.exit_code != 0
    assert "MiB do not fit" in done.stdout
    # Nothing of content that cannot become whole is kept, even if each of its blobs would have fitted.
    assert sum(file.stat().st_size for file in mirror.data.glob("blobs/*/*/*")) < MIB
    assert_small_things_work(mirror)


@pytest.mark.parametrize("expects", [True, False], ids=["Expect: 100-continue", "no Expect"])
def test_a_push_that_does_not_fit_is_refused_before_its_body(mirror: Mirror, expects: bool) -> None:
    with socket.create_connection(("127.0.0.1", mirror.port), timeout=120) as connection:
        expect = "Expect: 100-continue\r\n" if expects else ""
        digest = digest_of(b"content that is never sent")
        connection.sendall(
            f"POST /v2/pushed/big/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: {mirror.host}\r\n{expect}"
            f"Content-Length: {48 * MIB}\r\n\r\n".encode()
        )
        received = connection.makefile("rb").readline()
    assert received.startswith(b"HTTP/1.1 507 ")
    assert_small_things_work(mirror)


def test_a_push_of_unknown_size_ends_where_the_kept_part_begins(mirror: Mirror) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120)
    connection.request("POST", "/v2/pushed/big/blobs/uploads/")
    begun = connection.getresponse()
    begun.read()
    pieces = iter([os.urandom(MIB)] * 40)
    connection.request("PATCH", begun.headers["Location"], pieces, encode_chunked=True)
    refused = connection.getresponse()
    refused.read()
    connection.close()
    assert refused.status == 507
    assert_small_things_work(mirror)
