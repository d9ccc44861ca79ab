"""A server whose blobs are in a bucket, as clients, engines and operators see it."""

from __future__ import annotations

import http.client
import json
import random
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness import plugins
from tests.harness.bucket_server import ACCESS_KEY_ID, BUCKET, SECRET_KEY, BucketServer
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.packing import digest_of
from tests.harness.pushing import push_blob
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

CONTENT = random.Random(21).randbytes(20 * 1024 * 1024)
NAME = "acme/driver"


@pytest.fixture
def server() -> Iterator[BucketServer]:
    """A server that a test may stop."""
    require(BucketServer.missing())
    with BucketServer() as opened:
        yield opened


def blobs(server: BucketServer, folder: Path, **more: Any) -> dict[str, Any]:
    """Return the section ``storage.blobs``."""
    key = folder / "key"
    key.write_text(f"{SECRET_KEY}\n")
    login = {"access_key_id": ACCESS_KEY_ID, "secret_key_file": str(key)}
    return {"url": f"s3://{BUCKET}{folder}", "endpoint": server.url, "region": "us-east-1", **login, **more}


def mirror_of(server: BucketServer, folder: Path, workers: int = 1, **more: Any) -> Mirror:
    data = folder / "data"
    sections = {"storage": {"path": str(data), "blobs": blobs(server, folder, **more)}}
    return Mirror(workers=workers, data=data, sections=sections)


def get(mirror: Mirror, path: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120)
    try:
        connection.request("GET", path)
        found = connection.getresponse()
        return found.status, found.read(), found.headers
    finally:
        connection.close()


def begin(mirror: Mirror, content: bytes) -> tuple[int, http.client.HTTPMessage]:
    """Push a blob in one request. Return the status and the headers of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120)
    try:
        connection.request("POST", f"/v2/{NAME}/blobs/uploads/")
        begun = connection.getresponse()
        begun.read()
        place = begun.headers["Location"].partition(mirror.host)[2] or begun.headers["Location"]
        connection.request("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest_of(content)}", content)
        found = connection.getresponse()
        found.read()
        return found.status, found.headers
    finally:
        connection.close()


def drop_cache(mirror: Mirror) -> None:
    for file in mirror.data.glob("blobs/*/*/*"):
        file.unlink()


def counted(mirror: Mirror, series: str) -> float:
    page = get(mirror, "/metrics")[1].decode()
    found = re.search(rf"(?m)^{re.escape(series)} (\S+)$", page)
    assert found is not None, page
    return float(found[1])


@pytest.mark.parametrize("workers", [1, 2])
def test_sixteen_clients_of_a_cold_blob_cost_one_download(
    bucket_server: BucketServer, tmp_path: Path, workers: int
) -> None:
    with mirror_of(bucket_server, tmp_path, workers) as mirror:
        push_blob(f"{mirror.url}/v2/{NAME}", CONTENT)
        drop_cache(mirror)
        with ThreadPoolExecutor(16) as clients:
            path = f"/v2/{NAME}/blobs/{digest_of(CONTENT)}"
            answers = list(clients.map(lambda _: get(mirror, path), range(16)))
        assert {(status, digest_of(content)) for status, content, _ in answers} == {(200, digest_of(CONTENT))}
        received = "plugin_mirror_bucket_received_bytes_total"
        wait_until(lambda: counted(mirror, received) >= len(CONTENT), "the count")
        assert counted(mirror, received) == len(CONTENT)


def test_a_bucket_that_is_gone_for_a_while(server: BucketServer, tmp_path: Path) -> None:
    with mirror_of(server, tmp_path) as mirror:
        push_blob(f"{mirror.url}/v2/{NAME}", CONTENT)
        server.stop()
        status, headers = begin(mirror, b"other content")
        assert (status, headers["Retry-After"]) == (503, "5")
        path = f"/v2/{NAME}/blobs/{digest_of(CONTENT)}"
        assert get(mirror, path)[:2] == (200, CONTENT)
        assert get(mirror, "/readyz")[0] == 200
        wait_until(lambda: get(mirror, "/readyz?for=writes")[0] == 503, "the server to notice")
        assert json.loads(get(mirror, "/readyz?for=writes")[1])["checks"]["bucket"] != "ok"
        drop_cache(mirror)
        status, body, headers = get(mirror, path)
        assert (status, headers["Retry-After"]) == (503, "5")
        assert "fix: " in json.loads(body)["errors"][0]["message"]
        server.start()
        assert get(mirror, path)[:2] == (200, CONTENT)
        assert begin(mirror, b"other content")[0] == 201
        wait_until(lambda: get(mirror, "/readyz?for=writes")[0] == 200, "the server to notice")
        assert counted(mirror, 'plugin_mirror_bucket_failures_total{reason="bucket_unreachable"}') > 0


def test_the_cache_keeps_to_its_budget(bucket_server: BucketServer, tmp_path: Path) -> None:
    with mirror_of(bucket_server, tmp_path, cache="30MiB") as mirror:
        contents = [random.Random(number).randbytes(12 * 1024 * 1024) for number in range(4)]
        for content in contents:
            push_blob(f"{mirror.url}/v2/{NAME}", content)
    # The budget is kept at the start, and every minute.
    with mirror_of(bucket_server, tmp_path, cache="30MiB") as mirror:
        held = lambda: sum(file.stat().st_size for file in mirror.data.glob("blobs/*/*/*"))  # noqa: E731
        wait_until(lambda: held() <= 30 * 1024 * 1024, "the eviction")
        for content in contents:
            assert get(mirror, f"/v2/{NAME}/blobs/{digest_of(content)}")[:2] == (200, content)


def test_a_lost_life_cycle_rule_is_told(bucket_server: BucketServer, tmp_path: Path) -> None:
    told = "the bucket keeps parts of writes that were interrupted"
    with mirror_of(bucket_server, tmp_path) as mirror:
        wait_until(lambda: any(line["event"] == told for line in mirror.log), "the warning")
        (line,) = [line for line in mirror.log if line["event"] == told]
        assert "AbortIncompleteMultipartUpload" in line["fix"]


@pytest.mark.parametrize("command", ["backup", "restore", "recover"])
def test_a_command_that_needs_all_files_refuses(bucket_server: BucketServer, tmp_path: Path, command: str) -> None:
    with mirror_of(bucket_server, tmp_path) as mirror:
        words = [command] if command == "recover" else [command, str(tmp_path / "backup")]
        done = mirror.command(*words, check=False)
        assert done.exit_code == 2
        assert "storage.blobs has the content in a bucket" in done.stderr
        assert "fix: " in done.stderr


def test_the_bucket_of_another_site_keeps_a_server_from_starting(bucket_server: BucketServer, tmp_path: Path) -> None:
    with mirror_of(bucket_server, tmp_path) as mirror:
        push_blob(f"{mirror.url}/v2/{NAME}", b"content")
        shutil.copytree(mirror.data, tmp_path / "copy")
    (tmp_path / "data").rename(tmp_path / "old")
    with pytest.raises(RuntimeError, match="belongs to site"), mirror_of(bucket_server, tmp_path):
        pass


def test_an_engine_installs_what_the_cache_has_lost(
    bucket_server: BucketServer, tmp_path: Path, engine: Engine
) -> None:
    require(plugins.missing())
    with mirror_of(bucket_server, tmp_path) as mirror:
        reference = f"{mirror.host}/{NAME}:1"
        engine.docker("plugin", "create", reference, str(plugins.volume_plugin(tmp_path / "plugin")))
        engine.docker("plugin", "push", reference)
        engine.docker("plugin", "rm", reference)
        drop_cache(mirror)
    with mirror_of(bucket_server, tmp_path) as mirror:
        reference = f"{mirror.host}/{NAME}:1"
        engine.docker("plugin", "install", "--grant-all-permissions", reference)
        assert "true" in engine.docker("plugin", "inspect", "--format", "{{.Enabled}}", reference).stdout
        engine.docker("plugin", "rm", "--force", reference)


def listed(server: BucketServer, folder: Path) -> list[str]:
    """Return the keys of all objects of a mirror."""
    prefix = str(folder).strip("/")
    answer = server.request("GET", f"/{BUCKET}?list-type=2&prefix={quote(prefix, safe='')}")
    return [key.removeprefix(f"{prefix}/") for key in re.findall(r"<Key>([^<]*)</Key>", answer.decode())]


def test_a_collection_deletes_objects_and_a_scrub_lists_them(bucket_server: BucketServer, tmp_path: Path) -> None:
    with mirror_of(bucket_server, tmp_path) as mirror:
        push_blob(f"{mirror.url}/v2/{NAME}", b"content")
        drop_cache(mirror)
        found = json.loads(mirror.command("scrub", "--bucket", "--json").stdout)
        assert found["bucket"] == {"objects": 1, "size_bytes": 7, "strays": [], "wrong": []}
        assert found["damaged"] == []
        assert len(listed(bucket_server, tmp_path)) == 2
        mirror.command("gc", "--grace", "0s")
        assert listed(bucket_server, tmp_path) == ["plugin-mirror.json"]


def test_kills_of_both_servers_lose_nothing_that_was_acknowledged(server: BucketServer, tmp_path: Path) -> None:
    acknowledged: list[bytes] = []
    is_over = threading.Event()

    def push(mirror: Mirror, number: int) -> None:
        contents = random.Random(number)
        while not is_over.is_set():
            content = contents.randbytes(contents.choice([100, 300_000, 9_000_000]))
            with suppress(OSError, http.client.HTTPException):  # killed meanwhile
                if begin(mirror, content)[0] == 201:
                    acknowledged.append(content)

    with mirror_of(server, tmp_path) as mirror:
        pushers = [threading.Thread(target=push, args=(mirror, number)) for number in range(3)]
        for pusher in pushers:
            pusher.start()
        try:
            for killed in (server, mirror, server, mirror):
                before = len(acknowledged)
                wait_until(lambda before=before: len(acknowledged) >= before + 3, "pushes")
                killed.kill()
                killed.start()
        finally:
            is_over.set()
            for pusher in pushers:
                pusher.join()
        drop_cache(mirror)
        for content in acknowledged:
            assert get(mirror, f"/v2/{NAME}/blobs/{digest_of(content)}")[:2] == (200, content)
        found = json.loads(mirror.command("scrub", "--bucket", "--json").stdout)
        assert found["bucket"]["wrong"] == []
