"""Pins, immutable tags and retention with the real program, beside a running server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.harness import plugins
from tests.harness.mirror import Mirror
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin, pack
from tests.harness.pushing import push, send

pytestmark = pytest.mark.e2e

NAME = "acme/driver"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> list[PackedPlugin]:
    """Two different plugins."""
    folder = tmp_path_factory.mktemp("plugins")
    return [pack(plugins.contiv_plugin(folder / str(size), payload_size_bytes=1000 * size)) for size in (1, 2)]


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    rules = [{"pattern": "acme/**", "keep": {"newest": 1}, "immutable": ["v*"]}]
    with Mirror(workers=2, sections={"repositories": rules}) as started:
        yield started


def refused(mirror: Mirror, method: str, reference: str, packed: PackedPlugin | None = None) -> tuple[int, str]:
    """Send a request that must be refused. Return its status and the message of the only error."""
    body, headers = None, {}
    if packed is not None:
        push(packed, mirror.url, NAME, "another")
        body, headers = packed.manifest, {"Content-Type": MANIFEST_TYPE}
    request = urllib.request.Request(f"{mirror.url}/v2/{NAME}/manifests/{reference}", body, headers, method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    with caught.value as answer:
        (error,) = json.load(answer)["errors"]
    assert error["code"] == "DENIED"
    return answer.code, error["message"]


def test_an_immutable_tag_is_neither_moved_nor_deleted_by_a_client(mirror: Mirror, packed: list[PackedPlugin]):
    digest = push(packed[0], mirror.url, NAME, "v1")
    status, message = refused(mirror, "PUT", "v1", packed[1])
    assert status == 403
    assert message.startswith(f"{NAME}:v1 is immutable and points to {digest}; fix: push under another tag")
    assert refused(mirror, "DELETE", "v1")[0] == 403
    assert refused(mirror, "DELETE", digest)[0] == 403
    assert push(packed[0], mirror.url, NAME, "v1") == digest
    moved = mirror.command("tag", f"{NAME}@{digest}", f"{NAME}:v1", "--json")
    assert json.loads(moved.stdout)["digest"] == digest


def test_no_way_leads_round_an_immutable_tag(mirror: Mirror, packed: list[PackedPlugin]):
    first, second = (push(each, mirror.url, NAME, tag) for each, tag in zip(packed, ("v1", "other"), strict=True))
    other = packed[1].manifest
    member = {"mediaType": MANIFEST_TYPE, "digest": second, "size": len(other)}
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [member]}).encode()
    config = json.loads(packed[0].manifest)["config"]["digest"]
    push_index = urllib.request.Request(f"{mirror.url}/v2/{NAME}/manifests/v2", index, {"Content-Type": INDEX_TYPE})
    push_index.method = "PUT"
    urllib.request.urlopen(push_index, timeout=60).close()
    for method, path, body, media_type in (
        ("PUT", f"manifests/{second}?tag=new&tag=v1", other, MANIFEST_TYPE),
        ("PUT", "manifests/new?tag=v1", other, MANIFEST_TYPE),
        ("PUT", "manifests/v1", index, INDEX_TYPE),
        ("DELETE", f"manifests/{second}", None, MANIFEST_TYPE),  # a member of v2
        ("DELETE", f"blobs/{config}", None, MANIFEST_TYPE),
    ):
        headers = {} if body is None else {"Content-Type": media_type}
        request = urllib.request.Request(f"{mirror.url}/v2/{NAME}/{path}", body, headers, method=method)
        with pytest.raises(urllib.error.HTTPError, match="403") as caught:
            urllib.request.urlopen(request, timeout=60)
        with caught.value as answer:
            assert " is immutable" in json.load(answer)["errors"][0]["message"], path
    for command in (
        ("tag", f"{NAME}@{second}", f"{NAME}:v1"),
        ("derive", f"{NAME}:other", f"{NAME}:v1", "--env", "dbg_flag=-debug"),
        ("rm", f"{NAME}:v1"),
        ("rm", f"{NAME}@{first}"),
        ("rm", "--yes", NAME),
    ):
        done = mirror.command(*command, check=False)
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1), command
        assert " is immutable" in done.stderr, command
    with urllib.request.urlopen(f"{mirror.url}/v2/{NAME}/tags/list", timeout=60) as answer:
        assert json.load(answer)["tags"] == ["other", "v1", "v2"]
    with urllib.request.urlopen(f"{mirror.url}/v2/{NAME}/manifests/v1", timeout=60) as answer:
        assert answer.read() == packed[0].manifest


def test_a_pin_holds_beside_the_server_until_it_is_removed(mirror: Mirror, packed: list[PackedPlugin]):
    push(packed[0], mirror.url, NAME, "1.0")
    mirror.command("pin", f"{NAME}:1.0", "--note", "ticket 7")
    assert refused(mirror, "DELETE", "1.0") == (
        403,
        f"{NAME}:1.0 is pinned (ticket 7); fix: plugin-mirror unpin {NAME}:1.0",
    )
    with urllib.request.urlopen(f"{mirror.url}/api/v1/pins", timeout=60) as answer:
        (pin,) = json.load(answer)["pins"]
    assert (pin["name"], pin["tag"], pin["note"]) == (NAME, "1.0", "ticket 7")
    mirror.command("unpin", f"{NAME}:1.0")
    send("DELETE", f"{mirror.url}/v2/{NAME}/manifests/1.0")
    assert mirror.command("unpin", f"{NAME}:1.0", check=False).exit_code == 1


def test_gc_drops_a_tag_of_which_the_server_has_a_copy_in_memory(mirror: Mirror, packed: list[PackedPlugin]):
    for tag, plugin in zip(("1.0", "2.0"), packed, strict=True):
        push(plugin, mirror.url, NAME, tag)
        send("GET", f"{mirror.url}/v2/{NAME}/manifests/{tag}")
    mirror.command("pin", f"{NAME}:1.0")
    assert json.loads(mirror.command("gc", "--grace", "0s", "--json").stdout)["dropped_tags"] == []
    mirror.command("unpin", f"{NAME}:1.0")
    shown = mirror.command("gc", "--dry-run", "--grace", "0s").stdout.splitlines()
    assert shown[0] == f"{NAME}:1.0 would be dropped: not among the newest 1"
    send("GET", f"{mirror.url}/v2/{NAME}/manifests/1.0")
    (gone,) = json.loads(mirror.command("gc", "--grace", "0s", "--json").stdout)["dropped_tags"]
    assert gone["tag"] == "1.0"
    for _ in range(8):  # both workers
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            send("GET", f"{mirror.url}/v2/{NAME}/manifests/1.0")
        caught.value.close()
    send("GET", f"{mirror.url}/v2/{NAME}/manifests/2.0")
