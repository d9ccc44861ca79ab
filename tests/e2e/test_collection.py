"""Collection and deletion by commands, beside a running server."""

import json
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import plugins
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.packing import PackedPlugin, digest_of, pack
from tests.harness.pulling import manifest
from tests.harness.pushing import push, push_blob, send

pytestmark = pytest.mark.e2e

NAME = "contiv/v2plugin"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    return pack(plugins.contiv_plugin(tmp_path_factory.mktemp("packed") / "contiv"))


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    with Mirror(workers=2) as mirror:
        yield mirror


def files(mirror: Mirror) -> set[str]:
    """Return the names of the stored files."""
    return {file.name for file in (mirror.data / "blobs").rglob("*") if file.is_file()}


def hexes(*contents: bytes) -> set[str]:
    return {digest_of(content).removeprefix("sha256:") for content in contents}


def status_of(mirror: Mirror, path: str) -> int:
    try:
        send("HEAD", f"{mirror.url}/v2/{path}")
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def test_what_was_deleted_is_unknown_at_once_and_its_bytes_go_with_gc(mirror: Mirror, packed: PackedPlugin) -> None:
    digest = push(packed, mirror.url, NAME, "1.0")
    assert "deleted" in mirror.command("rm", f"{NAME}:1.0").stdout
    assert status_of(mirror, f"{NAME}/manifests/1.0") == 404
    assert status_of(mirror, f"{NAME}/manifests/{digest}") == 200
    mirror.command("rm", f"{NAME}@{digest}")
    assert status_of(mirror, f"{NAME}/manifests/{digest}") == 404
    assert hexes(packed.layer) <= files(mirror)
    told = json.loads(mirror.command("gc", "--grace", "0s", "--json").stdout)
    assert told["freed"]["files"] == 3
    assert not files(mirror)
    assert status_of(mirror, f"{NAME}/blobs/{digest_of(packed.layer)}") == 404


def test_a_dry_run_beside_the_server_changes_nothing(mirror: Mirror) -> None:
    push_blob(f"{mirror.url}/v2/dry/run", b"unused")
    told = mirror.command("gc", "--grace", "0s", "--dry-run").stdout
    assert told == "1 file would be removed, 6 B would be freed\n"
    assert status_of(mirror, f"dry/run/blobs/{digest_of(b'unused')}") == 200
    mirror.command("gc", "--grace", "0s")
    assert not files(mirror)


def test_blobs_of_an_open_upload_stay(mirror: Mirror) -> None:
    root = f"{mirror.url}/v2/open/upload"
    push_blob(root, b"first blob")
    location = send("POST", f"{root}/blobs/uploads/", b"")["Location"]
    told = mirror.command("gc", "--grace", "0s").stdout
    assert "1 kept by an open upload" in told
    assert files(mirror) == hexes(b"first blob")
    url = location if location.startswith("http") else mirror.url + location
    send("DELETE", url)
    mirror.command("gc", "--grace", "0s")
    assert not files(mirror)


def test_pushes_beside_a_collection_end_whole(mirror: Mirror, packed: PackedPlugin) -> None:
    """A client that is told that a blob is unknown pushes again, as clients do."""
    mirror.command("rm", "--yes", NAME, check=False)
    ended = threading.Event()
    problems: list[str] = []

    def collect() -> None:
        while not ended.is_set():
            run = mirror.command("gc", "--grace", "0s", check=False)
            if run.exit_code:
                problems.append(run.stderr)

    collecting = threading.Thread(target=collect)
    collecting.start()
    try:
        for number in range(12):
            content = packed.manifest.replace(b"{", b"{" + b" " * (number + 1), 1)
            _push_until_taken(packed, mirror, f"{number}", content)
            if number % 3:
                send("DELETE", f"{mirror.url}/v2/{NAME}/manifests/{digest_of(content)}")
    finally:
        ended.set()
        collecting.join()
    assert problems == []
    mirror.command("gc", "--grace", "0s")
    for number in range(0, 12, 3):
        assert manifest(mirror.url, NAME, f"{number}")[0] == 200
    for blob in (packed.config, packed.layer):
        assert status_of(mirror, f"{NAME}/blobs/{digest_of(blob)}") == 200
    assert len(files(mirror)) == 4 + 2


def _push_until_taken(packed: PackedPlugin, mirror: Mirror, tag: str, content: bytes) -> None:
    for _ in range(20):
        try:
            push(packed, mirror.url, NAME, tag, manifest=content)
        except urllib.error.HTTPError as error:
            told = json.load(error)["errors"][0]["code"]
            assert told in {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}, told
        else:
            return
    raise AssertionError("no push was taken")


def test_exit_codes(mirror: Mirror, tmp_path: Path) -> None:
    assert plugin_mirror("gc", "--data", str(tmp_path / "none"), check=False).exit_code == 2
    assert mirror.command("gc", "--grace", "soon", check=False).exit_code == 2
    assert mirror.command("rm", f"{NAME}:none", check=False).exit_code == 1
    assert mirror.command("rm", NAME, check=False).exit_code == 2  # a whole repository, without a terminal
