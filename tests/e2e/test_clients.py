"""The same content read and written with several other clients."""

import json
from pathlib import Path

import pytest

from tests.harness import plugins, skopeo
from tests.harness.command import CompletedRun, run
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror
from tests.harness.packing import (
    MANIFEST_TYPE,
    PackedPlugin,
    digest_of,
    legacy_manifest,
    pack,
)
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

REPOSITORY = "golden/v2plugin"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    folder = plugins.contiv_plugin(tmp_path_factory.mktemp("packed") / "contiv", payload_size_bytes=1_200_000)
    return pack(folder)


@pytest.fixture(scope="module")
def golden(mirror: Mirror, packed: PackedPlugin) -> bytes:
    """A manifest in the format of engines up to 19.03, pushed as `golden/v2plugin:1`."""
    manifest = legacy_manifest(packed)
    push(packed, mirror.url, REPOSITORY, "1", manifest=manifest)
    return manifest


def test_the_golden_manifest_keeps_its_519_bytes(mirror: Mirror, golden: bytes) -> None:
    assert len(golden) == 519
    assert golden.startswith(b'{\n   "schemaVersion": 2,')
    assert golden.endswith(b"}")
    for target in ("1", digest_of(golden)):
        answer = curl(f"{mirror.url}/v2/{REPOSITORY}/manifests/{target}")
        assert answer.body == golden
        assert answer.headers["content-type"] == MANIFEST_TYPE
        assert answer.headers["docker-content-digest"] == digest_of(golden)
        assert answer.headers["content-length"] == "519"


def test_skopeo_copies_out_and_in_and_keeps_every_byte(mirror: Mirror, golden: bytes, tmp_path: Path) -> None:
    require(skopeo.missing())
    source = f"docker://{mirror.host}/{REPOSITORY}:1"
    skopeo.copy(source, f"docker://{mirror.host}/golden/direct:1")
    skopeo.copy(source, f"dir:{tmp_path / 'dir'}")
    skopeo.copy(f"dir:{tmp_path / 'dir'}", f"docker://{mirror.host}/golden/back:1")
    for name in (REPOSITORY, "golden/direct", "golden/back"):
        assert skopeo.inspect(f"docker://{mirror.host}/{name}:1", raw=True).stdout_bytes == golden


def test_skopeo_copies_between_us_and_another_registry(mirror: Mirror, registry: DockerRegistry, golden: bytes) -> None:
    require(skopeo.missing())
    skopeo.copy(f"docker://{mirror.host}/{REPOSITORY}:1", f"docker://{registry.host}/golden/there:1")
    skopeo.copy(f"docker://{registry.host}/golden/there:1", f"docker://{mirror.host}/golden/home:1")
    assert skopeo.inspect(f"docker://{mirror.host}/golden/home:1", raw=True).stdout_bytes == golden


def test_ls_and_inspect_show_what_was_pushed(mirror: Mirror, golden: bytes, packed: PackedPlugin) -> None:
    listed = json.loads(mirror.command("ls", "--json").stdout)
    assert {"name": REPOSITORY, "tags": ["1"]} in listed
    (row,) = json.loads(mirror.command("ls", REPOSITORY, "--json").stdout)
    size_bytes = len(packed.config) + len(packed.layer)
    assert row == {
        "name": REPOSITORY,
        "tag": "1",
        "kind": "plugin",
        "digest": digest_of(golden),
        "size_bytes": size_bytes,
    }
    shown = mirror.command("inspect", f"{REPOSITORY}:1").stdout
    for expected in (
        "plugin",
        digest_of(golden),
        " - network: [host]\n",
        " - mount: [/etc/openvswitch]\n",
        " - capabilities: [CAP_SYS_ADMIN CAP_NET_ADMIN CAP_SYS_MODULE]\n",
        "cluster_store",
        f"docker plugin install --alias {REPOSITORY}:1 {mirror.host}/{REPOSITORY}:1 plugin_name={REPOSITORY}:1\n",
    ):
        assert expected in shown


def test_inspect_reads_other_registries_too(mirror: Mirror, registry: DockerRegistry, packed: PackedPlugin) -> None:
    push(packed, registry.url, "acme/there", "2")
    found = json.loads(mirror.command("inspect", f"{registry.host}/acme/there:2", "--json").stdout)
    assert found["kind"] == "plugin"
    assert found["install"] == (
        f"docker plugin install --alias acme/there:2 {registry.host}/acme/there:2 plugin_name=acme/there:2"
    )
    assert found["privileges"][0].pop("risk").startswith("It is on the host's own network")
    assert found["privileges"][0] == {
        "name": "network",
        "description": "permissions to access a network",
        "values": ["host"],
    }


class Answer:
    """A response, parsed from the output of `curl --include`."""

    def __init__(self, done: CompletedRun) -> None:
        head, _, self.body = done.stdout_bytes.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, self.body = self.body.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    def errors(self) -> list[str]:
        return [error["code"] for error in json.loads(self.body)["errors"]]


def curl(url: str, *options: str) -> Answer:
    return Answer(run(["curl", "--silent", "--include", "--max-time", "20", "--noproxy", "*", *options, url]))


def test_curl_reaches_every_endpoint(mirror: Mirror, golden: bytes, packed: PackedPlugin, tmp_path: Path) -> None:
    base = f"{mirror.url}/v2/curl/plugin"
    layer = tmp_path / "layer"
    layer.write_bytes(packed.layer)
    config = tmp_path / "config"
    config.write_bytes(packed.config)
    manifest = tmp_path / "manifest"
    manifest.write_bytes(golden)

    assert curl(f"{mirror.url}/v2/").headers["docker-distribution-api-version"] == "registry/2.0"
    assert curl(f"{mirror.url}/healthz").status == 200
    assert json.loads(curl(f"{mirror.url}/readyz").body)["status"] == "ok"
    assert curl(f"{mirror.url}/v1/_ping").status == 404

    # Push a blob in chunks, with a status request in between, and close the session with an empty PUT.
    begun = curl(f"{base}/blobs/uploads/", "--request", "POST")
    assert begun.status == 202
    half = len(packed.layer) // 2
    chunk = tmp_path / "chunk"
    chunk.write_bytes(packed.layer[:half])
    location = begun.headers["location"]
    first = curl(
        mirror.url + location,
        "--request",
        "PATCH",
        "--data-binary",
        f"@{chunk}",
        "--header",
        f"Content-Range: 0-{half - 1}",
    )
    assert (first.status, first.headers["range"]) == (202, f"0-{half - 1}")
    looked = curl(mirror.url + first.headers["location"])
    assert (looked.status, looked.headers["range"]) == (204, f"0-{half - 1}")
    chunk.write_bytes(packed.layer[half:])
    second = curl(mirror.url + looked.headers["location"], "--request", "PATCH", "--data-binary", f"@{chunk}")
    assert second.headers["range"] == f"0-{len(packed.layer) - 1}"
    closed = curl(f"{mirror.url}{second.headers['location']}?digest={packed.layer_digest}", "--request", "PUT")
    assert (closed.status, closed.headers["docker-content-digest"]) == (201, packed.layer_digest)

    # Push a blob with one request, cancel a session, and mount a blob.
    whole = curl(
        f"{base}/blobs/uploads/?digest={packed.config_digest}", "--request", "POST", "--data-binary", f"@{config}"
    )
    assert whole.status == 201
    given_up = curl(f"{base}/blobs/uploads/", "--request", "POST").headers["location"]
    assert curl(mirror.url + given_up, "--request", "DELETE").status == 204
    assert curl(mirror.url + given_up).errors() == ["BLOB_UPLOAD_UNKNOWN"]
    mount = f"{mirror.url}/v2/curl/mounted/blobs/uploads/?mount={packed.layer_digest}&from=curl/plugin"
    assert curl(mount, "--request", "POST").status == 201

    put = curl(
        f"{base}/manifests/1",
        "--request",
        "PUT",
        "--data-binary",
        f"@{manifest}",
        "--header",
        f"Content-Type: {MANIFEST_TYPE}",
    )
    assert (put.status, put.headers["docker-content-digest"]) == (201, digest_of(golden))
    assert curl(f"{base}/manifests/1", "--head").headers["content-length"] == "519"
    assert curl(f"{base}/blobs/{packed.layer_digest}", "--head").headers["content-length"] == str(len(packed.layer))
    part = curl(f"{base}/blobs/{packed.layer_digest}", "--range", "10-19")
    assert (part.status, part.body) == (206, packed.layer[10:20])
    assert json.loads(curl(f"{base}/tags/list").body) == {"name": "curl/plugin", "tags": ["1"]}
    assert "curl/plugin" in json.loads(curl(f"{mirror.url}/v2/_catalog").body)["repositories"]
    assert json.loads(curl(f"{base}/referrers/{digest_of(golden)}").body)["manifests"] == []

    assert curl(f"{base}/manifests/1", "--request", "DELETE").status == 202
    assert curl(f"{base}/manifests/1").errors() == ["MANIFEST_UNKNOWN"]
    assert curl(f"{base}/manifests/{digest_of(golden)}", "--request", "DELETE").status == 202
    assert curl(f"{base}/blobs/{packed.layer_digest}", "--request", "DELETE").status == 202
    assert curl(f"{base}/blobs/{packed.layer_digest}").errors() == ["BLOB_UNKNOWN"]
    assert curl(f"{mirror.url}/v2/curl/mounted/blobs/{packed.layer_digest}", "--head").status == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_the_server_ends_with_zero_when_it_is_told_to(workers: int) -> None:
    with Mirror(workers=workers) as mirror:
        wait_until(lambda: [line["event"] for line in mirror.log].count("server listening") == workers, "every worker")
        assert mirror.stop() == 0
        assert [line["event"] for line in mirror.log].count("server stopping") == workers
        assert run(["curl", "--silent", mirror.url], check=False).exit_code == 7  # 7: connection refused
