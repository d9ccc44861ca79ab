"""The audit and events of a real server: killed at any moment, they miss no change that a client was told of."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.harness.mirror import Mirror
from tests.harness.readiness import wait_until

pytestmark = pytest.mark.e2e

KEY = b"12345678901234567890123456789012"
SECRET = "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
EMPTY = b"{}"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class Hook:
    """An endpoint on loopback, which can fail or hang."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.status = 204
        self.forged = 0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
                wanted = "v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
                hook.forged += self.headers["webhook-signature"] != wanted
                if hook.status < 300:
                    hook.events.append(json.loads(body))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/in"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def subjects(self, repository: str) -> list[str]:
        """Return the subjects of the events of a repository, without repetitions that follow each other."""
        found = [event["subject"] for event in self.events if event["data"].get("repository") == repository]
        return [one for place, one in enumerate(found) if place == 0 or found[place - 1] != one]


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


def ask(mirror: Mirror, method: str, path: str, body: bytes = b"", kind: str = "", login: str = "") -> int:
    """Send a request and return the status."""
    headers = {**({"Content-Type": kind} if kind else {}), **({"Authorization": login} if login else {})}
    request = urllib.request.Request(f"{mirror.url}{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def put_tag(mirror: Mirror, repository: str, tag: str) -> None:
    """Push an image without layers under a tag. Raises OSError if the server is away."""
    digest = f"sha256:{hashlib.sha256(EMPTY).hexdigest()}"
    assert ask(mirror, "POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", EMPTY) == 201
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": len(EMPTY)}
    body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": []}).encode()
    assert ask(mirror, "PUT", f"/v2/{repository}/manifests/{tag}", body, MANIFEST_TYPE) == 201


def entries(mirror: Mirror, kind: str) -> list[dict[str, Any]]:
    """Return entries of the audit."""
    found: list[dict[str, Any]] = json.loads(mirror.command("audit", "show", "--json", "--kind", kind).stdout)
    return found


@pytest.mark.timeout(900)  # seven starts of two workers
def test_every_change_arrives_in_order_although_the_server_is_killed(hook: Hook, secret_file: Path) -> None:
    events = [{"url": hook.url, "plain_http": True, "secret_file": str(secret_file), "on": ["tag"]}]
    acknowledged: dict[str, list[str]] = {"acme/one": [], "acme/two": []}
    with Mirror(workers=2, sections={"events": events}) as mirror:
        for round_ in range(6):
            hook.status = 500 if round_ == 1 else 204
            stopped = threading.Event()

            def work(repository: str, round_: int = round_, stopped: threading.Event = stopped) -> None:
                for number in range(1000):
                    if stopped.is_set():
                        return
                    tag = f"{round_}-{number}"
                    with suppress(OSError):
                        put_tag(mirror, repository, tag)
                        acknowledged[repository].append(f"{repository}:{tag}")

            before = {name: len(tags) for name, tags in acknowledged.items()}
            threads = [threading.Thread(target=work, args=(name,)) for name in acknowledged]
            for thread in threads:
                thread.start()
            wait_until(
                lambda before=before: all(len(acknowledged[name]) >= before[name] + 5 for name in acknowledged),
                "some pushes",
                timeout_seconds=120,
            )
            mirror.kill()
            stopped.set()
            for thread in threads:
                thread.join()
            mirror.start()
        for name, tags in acknowledged.items():
            wait_until(
                lambda name=name, tags=tags: set(tags) <= set(hook.subjects(name)),
                f"all events of {name}",
                timeout_seconds=200,
            )
            # A push that was cut off may have happened too. The order of those that clients know of holds.
            known = set(tags)
            assert [one for one in hook.subjects(name) if one in known] == tags
        assert hook.forged == 0
        assert all(event["type"].startswith("plugin-mirror.tag.") for event in hook.events)
        wait_until(
            lambda: sum(map(len, acknowledged.values())) <= len(entries(mirror, "tag.created")),
            "the audit",
            timeout_seconds=60,
        )
        told = [entry["subject"] for entry in entries(mirror, "tag.created")]
        assert len(told) == len(set(told))  # in the audit once
        verified = json.loads(mirror.command("audit", "verify", "--json").stdout)
        assert verified["problems"] == []
        assert mirror.command("events", "ls").exit_code == 0


def test_who_did_what_and_who_was_refused(tmp_path: Path) -> None:
    access = [{"users": ["anna"], "repositories": ["acme/**"], "actions": ["push", "pull"]}]
    with Mirror(workers=2, sections={"server": {"anonymous": ["pull"]}, "access": access}) as mirror:
        mirror.command("user", "add", "anna", "--password-stdin", input_text="a word that nobody guesses\n")
        good, bad = "Basic YW5uYTphIHdvcmQgdGhhdCBub2JvZHkgZ3Vlc3Nlcw==", "Basic YW5uYTpib2I="
        digest = f"sha256:{hashlib.sha256(EMPTY).hexdigest()}"
        path = f"blobs/uploads/?digest={digest}"
        assert ask(mirror, "POST", f"/v2/acme/one/{path}", EMPTY, login=good) == 201
        config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": len(EMPTY)}
        body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": []}).encode()
        assert ask(mirror, "PUT", "/v2/acme/one/manifests/1", body, MANIFEST_TYPE, good) == 201
        assert ask(mirror, "POST", f"/v2/other/one/{path}", EMPTY, login=good) == 403
        assert ask(mirror, "POST", f"/v2/acme/one/{path}", EMPTY, login=bad) == 401
        assert ask(mirror, "POST", f"/v2/acme/one/{path}", EMPTY) == 401  # a mere challenge
        (created,), (refused,), (failed,) = (
            entries(mirror, kind) for kind in ("tag.created", "change.refused", "login.failed")
        )
        assert created["actor"]["name"] == "anna"
        assert created["actor"]["proof"].startswith("password:")
        assert created["actor"]["address"] == "127.0.0.1"
        assert refused["actor"]["name"] == "anna"
        assert refused["subject"] == "POST /v2/other/one/blobs/uploads/"
        assert "anna may not push other/one" in refused["reason"]
        assert failed["actor"] == {"kind": "anonymous", "address": "127.0.0.1"}
        assert entries(mirror, "user.added")[0]["actor"]["kind"] == "command"
        files = b"".join(path.read_bytes() for path in (mirror.data / "audit").iterdir())
        assert b"nobody guesses" not in files
        assert b"YW5uYT" not in files
