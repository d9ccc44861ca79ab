"""Faults of a running server: acknowledged content is never lost, and partial content is never served."""

import http.client
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import plugins
from tests.harness.disks import small_disk
from tests.harness.mirror import Mirror
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin, digest_of, pack
from tests.harness.pushing import push
from tests.harness.readiness import wait_until

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    return pack(plugins.contiv_plugin(tmp_path_factory.mktemp("packed") / "contiv"))


def status(
    mirror: Mirror, method: str, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str
) -> tuple[int, bytes]:
    """Return the status and body of one request. Underscores in names of headers stand for hyphens."""
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named, encode_chunked="Transfer-Encoding" in named)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def code(body: bytes) -> str:
    (error,) = json.loads(body)["errors"]
    assert error["message"]
    assert error["detail"] is not None
    found: str = error["code"]
    return found


def begin_upload(mirror: Mirror, repository: str) -> str:
    request = urllib.request.Request(f"{mirror.url}/v2/{repository}/blobs/uploads/", data=b"", method="POST")
    with urllib.request.urlopen(request, timeout=120) as answer:
        location: str = answer.headers["Location"]
        return location


def begin_body(mirror: Mirror, location: str, announced_bytes: int, sent: bytes) -> socket.socket:
    """Begin a PATCH whose body stays incomplete."""
    connection = socket.create_connection(("127.0.0.1", mirror.port))
    head = f"PATCH {location} HTTP/1.1\r\nHost: {mirror.host}\r\nContent-Length: {announced_bytes}\r\n\r\n"
    connection.sendall(head.encode() + sent)
    return connection


def session_bytes(mirror: Mirror) -> int:
    return sum(file.stat().st_size for file in mirror.data.glob("uploads/*/data"))


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/v2/../../etc/passwd/manifests/1", None, (400, "NAME_INVALID")),
        ("GET", "/v2/%2e%2e/%2e%2e/etc/blobs/sha256:" + "0" * 64, None, (400, "NAME_INVALID")),
        ("POST", "/v2/../../etc/blobs/uploads/", b"", (400, "NAME_INVALID")),
        ("PUT", "/v2/a/manifests/" + "t" * 129, b"{}", (400, "NAME_INVALID")),
        ("GET", "/v2/a/manifests/" + "t" * 129, None, (404, "MANIFEST_UNKNOWN")),
        ("PUT", "/v2/a/manifests/large", b" " * (5 * MIB), (413, "SIZE_INVALID")),
        ("PUT", "/v2/a/manifests/text", b"<html>", (400, "MANIFEST_INVALID")),
        ("GET", "/v2/a/blobs/sha256:xyz", None, (400, "DIGEST_INVALID")),
    ],
)
def test_hostile_requests_get_a_clear_error(
    mirror: Mirror, method: str, path: str, body: bytes | None, expected: tuple[int, str]
) -> None:
    answered, content = status(mirror, method, path, body, Content_Type=MANIFEST_TYPE)
    assert (answered, code(content)) == expected


def test_a_blob_with_another_digest_is_refused_and_not_served(mirror: Mirror) -> None:
    location = begin_upload(mirror, "faults/digest")
    wanted = digest_of(b"what was meant")
    answered, content = status(mirror, "PUT", f"{location}?digest={wanted}", b"what was sent")
    assert (answered, code(content)) == (400, "DIGEST_INVALID")
    assert status(mirror, "GET", f"/v2/faults/digest/blobs/{wanted}")[0] == 404
    assert session_bytes(mirror) == 0


def test_an_upload_that_breaks_off_can_be_gone_on_with(mirror: Mirror) -> None:
    content = os.urandom(2 * MIB)
    location = begin_upload(mirror, "faults/broken")
    connection = begin_body(mirror, location, len(content), content[:MIB])
    wait_until(lambda: session_bytes(mirror) == MIB, "the first half to be stored")
    connection.close()

    digest = digest_of(content)
    assert status(mirror, "HEAD", f"/v2/faults/broken/blobs/{digest}")[0] == 404
    request = urllib.request.Request(mirror.url + location, method="GET")
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert answer.headers["Range"] == f"0-{MIB - 1}"
    rest = {"Content_Range": f"{MIB}-{len(content) - 1}"}
    assert status(mirror, "PATCH", location, content[MIB:], **rest)[0] == 202
    assert status(mirror, "PUT", f"{location}?digest={digest}")[0] == 201
    assert status(mirror, "GET", f"/v2/faults/broken/blobs/{digest}") == (200, content)


def test_kill_9_during_a_push_loses_nothing_that_was_acknowledged(packed: PackedPlugin) -> None:
    content = os.urandom(2 * MIB)
    with Mirror() as mirror:
        digest = push(packed, mirror.url, "faults/killed", "1")
        location = begin_upload(mirror, "faults/killed")
        with begin_body(mirror, location, len(content), content[:MIB]):
            wait_until(lambda: session_bytes(mirror) == MIB, "the first half to be stored")
            mirror.kill()
        mirror.start()

        assert digest_of(status(mirror, "GET", "/v2/faults/killed/manifests/1")[1]) == digest
        for blob in (packed.config, packed.layer):
            assert status(mirror, "GET", f"/v2/faults/killed/blobs/{digest_of(blob)}") == (200, blob)
        assert status(mirror, "HEAD", f"/v2/faults/killed/blobs/{digest_of(content)}")[0] == 404
        rest = {"Content_Range": f"{MIB}-{len(content) - 1}"}
        assert status(mirror, "PATCH", location, content[MIB:], **rest)[0] == 202
        assert status(mirror, "PUT", f"{location}?digest={digest_of(content)}")[0] == 201
        assert status(mirror, "GET", f"/v2/faults/killed/blobs/{digest_of(content)}") == (200, content)


def test_kill_9_at_any_moment_of_many_pushes(packed: PackedPlugin) -> None:
    acknowledged: dict[str, str] = {}
    with Mirror(workers=2) as mirror:

        def keep_pushing(name: str) -> None:
            for number in range(10_000):
                tag = f"{name}-{number}"
                manifest = json.dumps(json.loads(packed.manifest) | {"annotations": {"tag": tag}}).encode()
                try:
                    acknowledged[tag] = push(packed, mirror.url, "faults/many", tag, manifest=manifest)
                except (OSError, http.client.HTTPException):
                    return

        for round_number in range(3):
            threads = [threading.Thread(target=keep_pushing, args=(f"{round_number}{letter}",)) for letter in "abc"]
            before = len(acknowledged)
            for thread in threads:
                thread.start()
            wait_until(lambda: len(acknowledged) > before + 10, "some pushes")  # noqa: B023 - called here only
            time.sleep(0.03 * round_number)
            mirror.kill()
            for thread in threads:
                thread.join()
            mirror.start()

        for tag, digest in acknowledged.items():
            answered, content = status(mirror, "GET", f"/v2/faults/many/manifests/{tag}")
            assert (answered, digest_of(content)) == (200, digest)


def test_two_servers_and_a_command_on_one_data_folder(packed: PackedPlugin) -> None:
    with Mirror() as first, Mirror(data=first.data) as second:
        digest = push(packed, first.url, "faults/shared", "1")
        assert digest_of(status(second, "GET", "/v2/faults/shared/manifests/1")[1]) == digest
        (row,) = json.loads(second.command("ls", "faults/shared", "--json").stdout)
        assert row["digest"] == digest

        moved = json.dumps(json.loads(packed.manifest) | {"annotations": {"moved": "yes"}}).encode()
        push(packed, second.url, "faults/shared", "1", manifest=moved)
        assert status(first, "GET", "/v2/faults/shared/manifests/1")[1] == moved

        assert status(first, "DELETE", "/v2/faults/shared/manifests/1")[0] == 202
        assert status(second, "GET", "/v2/faults/shared/manifests/1")[0] == 404


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, packed: PackedPlugin) -> None:
    # Without a free-space reserve (least_free_bytes), so that the disk really fills up.
    with (
        small_disk(tmp_path / "disk", 24 * MIB) as disk,
        Mirror(data=disk / "data", sections={"storage": {"path": str(disk / "data"), "least_free_bytes": 0}}) as mirror,
    ):
        digest = push(packed, mirror.url, "faults/full", "1")
        content = os.urandom(32 * MIB)
        location = begin_upload(mirror, "faults/full")
        # The size is unknown, as in a push by an engine, so the disk fills up.
        answered, body = status(mirror, "PATCH", location, iter([content]), Transfer_Encoding="chunked")
        assert (answered, "do not fit" in body.decode()) == (507, True)
        assert status(mirror, "HEAD", f"/v2/faults/full/blobs/{digest_of(content)}")[0] == 404
        assert digest_of(status(mirror, "GET", "/v2/faults/full/manifests/1")[1]) == digest
        status(mirror, "DELETE", location)
        small = os.urandom(MIB)
        location = begin_upload(mirror, "faults/full")
        assert status(mirror, "PUT", f"{location}?digest={digest_of(small)}", small)[0] == 201
        assert status(mirror, "GET", f"/v2/faults/full/blobs/{digest_of(small)}") == (200, small)
