"""A server whose catalog is in PostgreSQL, as clients, engines and operators see it."""

from __future__ import annotations

import http.client
import random
import threading
import urllib.error
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import pgbouncer, plugins, postgresql
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.packing import digest_of
from tests.harness.pgbouncer import PgBouncer
from tests.harness.postgresql import Postgresql
from tests.harness.pushing import push_blob
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

NAME = "acme/driver"


@pytest.fixture
def server() -> Iterator[Postgresql]:
    """A server that a test may stop."""
    require(postgresql.missing())
    with Postgresql(is_durable=True) as opened:
        yield opened


def mirror_at(url: str, folder: Path, workers: int = 1) -> Mirror:
    data = folder / "data"
    return Mirror(workers=workers, data=data, sections={"storage": {"path": str(data), "catalog": {"url": url}}})


def get(mirror: Mirror, path: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120)
    try:
        connection.request("GET", path)
        found = connection.getresponse()
        return found.status, found.read(), found.headers
    finally:
        connection.close()


def status_of_push(mirror: Mirror, content: bytes) -> int:
    """Push a blob. Return the status."""
    try:
        push_blob(f"{mirror.url}/v2/{NAME}", content)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 201


def test_an_engine_pushes_and_installs(server: Postgresql, engine: Engine, tmp_path: Path) -> None:
    require(plugins.missing())
    with mirror_at(server.new_database(), tmp_path, workers=2) as mirror:
        reference = f"{mirror.host}/{NAME}:1"
        engine.docker("plugin", "create", reference, str(plugins.volume_plugin(tmp_path / "plugin")))
        engine.docker("plugin", "push", reference)
        engine.docker("plugin", "rm", reference)
        engine.docker("plugin", "install", "--grant-all-permissions", reference)
        assert "true" in engine.docker("plugin", "inspect", "--format", "{{.Enabled}}", reference).stdout
        engine.docker("plugin", "rm", "--force", reference)
        assert NAME in mirror.command("ls").stdout


def test_a_database_that_is_gone_for_a_while(server: Postgresql, tmp_path: Path) -> None:
    content = b"content"
    with mirror_at(server.new_database(), tmp_path) as mirror:
        path = f"/v2/{NAME}/blobs/{digest_of(content)}"
        assert status_of_push(mirror, content) == 201
        assert get(mirror, path)[:2] == (200, content)
        server.kill()
        assert status_of_push(mirror, b"refused") == 503
        assert get(mirror, path)[:2] == (200, content)  # from memory
        wait_until(lambda: get(mirror, "/readyz?for=writes")[0] == 503, "the server to notice")
        server.start()
        assert status_of_push(mirror, b"accepted") == 201
        wait_until(lambda: get(mirror, "/readyz?for=writes")[0] == 200, "the server to notice")


def test_kills_lose_nothing_that_was_acknowledged(server: Postgresql, tmp_path: Path) -> None:
    require(pgbouncer.missing())
    acknowledged: list[bytes] = []
    is_over = threading.Event()

    def push(mirror: Mirror, number: int) -> None:
        contents = random.Random(number)
        while not is_over.is_set():
            content = contents.randbytes(300)
            with suppress(OSError, http.client.HTTPException):  # killed meanwhile
                if status_of_push(mirror, content) == 201:
                    acknowledged.append(content)

    url = server.new_database()
    with PgBouncer(server, connections=4) as pooler:
        pooled = url.replace(f":{server.port}/", f":{pooler.port}/")
        with mirror_at(pooled, tmp_path, workers=2) as mirror:
            pushers = [threading.Thread(target=push, args=(mirror, number)) for number in range(3)]
            for pusher in pushers:
                pusher.start()
            try:
                for killed in (server, mirror, pooler, server, mirror):
                    before = len(acknowledged)
                    wait_until(lambda before=before: len(acknowledged) >= before + 5, "pushes")
                    killed.kill()
                    killed.start()
                before = len(acknowledged)
                wait_until(lambda: len(acknowledged) >= before + 5, "pushes")
            finally:
                is_over.set()
                for pusher in pushers:
                    pusher.join()
            for content in acknowledged:
                assert get(mirror, f"/v2/{NAME}/blobs/{digest_of(content)}")[:2] == (200, content)


def test_a_catalog_moves_while_no_server_runs(server: Postgresql, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Mirror(data=data) as mirror:
        assert status_of_push(mirror, b"content") == 201
        other = tmp_path / "postgresql.yaml"
        other.write_text(f"storage: {{path: {data}, catalog: {{url: '{server.new_database()}'}}}}\n")
        busy = mirror.command("migrate", "--to-config", str(other), check=False)
        assert (busy.exit_code, "is used by a running server" in busy.stderr) == (1, True)
        mirror.stop()
        moved = mirror.command("migrate", "--to-config", str(other))
        assert "the catalog is in postgresql://" in moved.stdout.replace("\n  ", " ")
    url = other.read_text().partition("url: '")[2].partition("'")[0]
    with mirror_at(url, tmp_path) as mirror:
        assert get(mirror, f"/v2/{NAME}/blobs/{digest_of(b'content')}")[:2] == (200, b"content")
