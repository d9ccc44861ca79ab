"""Quotas with the real program: two workers, users, and the command line."""

from __future__ import annotations

import hashlib
import http.client
import json
from base64 import b64encode
from collections.abc import Iterator

import pytest

from tests.harness.command import run
from tests.harness.mirror import PROGRAM, Mirror

pytestmark = pytest.mark.e2e

PASSWORD = "the password of anna"
MIB = 1024 * 1024
SECTIONS = {
    "server": {"anonymous": ["pull"]},
    "access": [{"users": ["anna"], "repositories": ["acme/**"], "actions": ["pull", "push", "delete"]}],
    "quotas": [{"pattern": "acme/**", "bytes": "8MiB", "tags": 1}, {"user": "*", "bytes": "16MiB"}],
}


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    with Mirror(workers=2, sections=SECTIONS) as started:
        words = [PROGRAM, "user", "add", "anna", "--password-stdin", "--config", str(started.config)]
        run(words, input_text=f"{PASSWORD}\n")
        yield started


def asked(mirror: Mirror, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, str]:
    """Send a request as anna. Return the status, the body and the Location of the answer."""
    login = b64encode(f"anna:{PASSWORD}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Authorization": f"Basic {login}", **named})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers.get("Location", "")
    finally:
        connection.close()


def push(mirror: Mirror, content: bytes) -> tuple[int, bytes]:
    """Push a blob with POST and PUT, each on a connection of its own, which any worker takes."""
    status, told, location = asked(mirror, "POST", "/v2/acme/driver/blobs/uploads/")
    if status != 202:
        return status, told
    digest = hashlib.sha256(content).hexdigest()
    status, told, _ = asked(mirror, "PUT", f"{location}?digest=sha256:{digest}", content)
    return status, told


def test_a_push_beyond_a_quota_is_denied_by_every_worker_and_a_deletion_makes_room(mirror: Mirror) -> None:
    contents = [bytes([number]) * (3 * MIB) for number in range(4)]
    assert [push(mirror, content)[0] for content in contents[:2]] == [201, 201]
    for _ in range(4):
        status, told = push(mirror, contents[2])
        (error,) = json.loads(told)["errors"]
        assert (status, error["code"]) == (403, "DENIED")
        assert "6.0 MiB of 8.0 MiB are used; 3.0 MiB more do not fit" in error["message"]
    digest = hashlib.sha256(contents[0]).hexdigest()
    assert asked(mirror, "DELETE", f"/v2/acme/driver/blobs/sha256:{digest}")[0] == 202
    assert push(mirror, contents[2])[0] == 201

    listed = json.loads(mirror.command("quota", "ls", "--json").stdout)
    assert [(one["account"], one["used"]["bytes"]) for one in listed] == [
        ("repositories acme/**", 6 * MIB),
        ("user anna", 6 * MIB),
    ]
    table = mirror.command("quota", "ls").stdout
    assert "repositories acme/**" in table
    assert max(map(len, table.splitlines())) <= 80
    page = asked(mirror, "GET", "/metrics")[1].decode()
    assert 'plugin_mirror_quota_refusals_total{quota="repositories acme/**"} 4.0' in page
    assert 'plugin_mirror_quota_used_ratio{quota="each user"} 0.375' in page
