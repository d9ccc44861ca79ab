"""A disk without inodes, a process without file descriptors, and a catalog that cannot be written."""

import http.client
import json
import resource
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.harness.disks import fill_inodes, small_disk
from tests.harness.mirror import Mirror
from tests.harness.packing import digest_of
from tests.harness.pushing import push_blob
from tests.harness.readiness import wait_until

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
BLOB = b"content" * 10_000


def ask(connection: http.client.HTTPConnection, path: str, method: str = "GET") -> tuple[int, str | None, bytes]:
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.headers["Retry-After"], answer.read()


def connected(mirror: Mirror) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120))


def readiness(mirror: Mirror, path: str = "/readyz") -> tuple[int, dict[str, str]]:
    with connected(mirror) as connection:
        status, _, body = ask(connection, path)
        return status, json.loads(body)["checks"]


def test_a_disk_without_inodes(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 512 * MIB, inodes=2000) as disk,
        Mirror(data=disk / "data") as mirror,
    ):
        push_blob(f"{mirror.url}/v2/a", BLOB)
        assert readiness(mirror)[0] == 200
        ballast = fill_inodes(disk / "ballast")

        wait_until(lambda: "0 of 2000 inodes" in readiness(mirror)[1]["space"], "the lack of inodes to be told")
        assert readiness(mirror)[0] == 200  # content can be read
        assert readiness(mirror, "/readyz?for=writes")[0] == 503
        with connected(mirror) as connection:
            status, _, body = ask(connection, "/v2/a/blobs/uploads/", "POST")
            assert (status, b"0 of 2000 inodes" in body) == (507, True)
            assert ask(connection, f"/v2/a/blobs/{digest_of(BLOB)}")[2] == BLOB
            mirror.stop()
            assert json.loads(mirror.command("ls", "--json").stdout) == [{"name": "a", "tags": []}]
        for file in ballast:
            file.unlink()
        mirror.start()
        push_blob(f"{mirror.url}/v2/a", b"more")
        assert readiness(mirror)[0] == 200


@contextmanager
def no_descriptor(mirror: Mirror) -> Iterator[None]:
    """Allow the server no further open file inside the block."""
    assert mirror.pid is not None
    allowed = resource.prlimit(mirror.pid, resource.RLIMIT_NOFILE)
    used = {int(link.name) for link in Path(f"/proc/{mirror.pid}/fd").iterdir()}
    # A new file gets the lowest free number. Files that are open with a higher one stay open.
    lowest = next(number for number in count() if number not in used)
    resource.prlimit(mirror.pid, resource.RLIMIT_NOFILE, (lowest, allowed[1]))
    try:
        yield
    finally:
        resource.prlimit(mirror.pid, resource.RLIMIT_NOFILE, allowed)


def test_a_process_without_descriptors_answers_503_with_few_lines() -> None:
    with Mirror() as mirror, connected(mirror) as connection:
        push_blob(f"{mirror.url}/v2/a", BLOB)
        path = f"/v2/a/blobs/{digest_of(BLOB)}"
        assert ask(connection, path)[0] == 200
        with no_descriptor(mirror), socket.create_connection(("127.0.0.1", mirror.port)) as waiting:
            taken = [ask(connection, path)[:2] for _ in range(5)]
            uploads = [ask(connection, "/v2/a/blobs/uploads/", "POST")[:2] for _ in range(5)]
            assert waiting.fileno()
        assert (set(taken), set(uploads)) == ({(503, "1")}, {(503, "1")})
        wait_until(lambda: readiness(mirror)[0] == 200, "connections to be accepted again")
        assert ask(connection, path)[2] == BLOB
        assert len([line for line in mirror.log if line.get("limit") == "open files (ulimit -n)"]) == 1
        assert not [line for line in mirror.log if "exception" in line]


def test_few_descriptors_still_serve_some_clients() -> None:
    with Mirror(wrapper=["prlimit", "--nofile=64:64"]) as mirror:
        push_blob(f"{mirror.url}/v2/a", BLOB)
        path = f"/v2/a/blobs/{digest_of(BLOB)}"
        (warning,) = [line for line in mirror.log if line["event"] == "connections limited by open files"]
        assert (warning["open_files"], warning["configured"]) == (64, 2048)
        clients = [http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120) for _ in range(40)]
        try:
            answers = []
            for client in clients:
                try:
                    answers.append(ask(client, path)[0])
                except (ConnectionError, http.client.HTTPException):
                    answers.append(0)
        finally:
            for client in clients:
                client.close()
        assert answers.count(200) == warning["connections"]
        assert set(answers) <= {200, 503, 0}
        wait_until(lambda: readiness(mirror)[0] == 200, "the clients to leave")
        assert not [line for line in mirror.log if "exception" in line]


def test_a_catalog_that_is_locked_is_named() -> None:
    with Mirror() as mirror:
        catalog = mirror.data / "catalog.sqlite"
        with closing(sqlite3.connect(catalog, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            named = f"another process keeps {catalog} locked"
            wait_until(lambda: named in readiness(mirror)[1]["changes"], "the lock to be told")
            assert readiness(mirror)[0] == 200
            assert readiness(mirror, "/readyz?for=writes")[0] == 503
            other.execute("ROLLBACK")
        wait_until(lambda: readiness(mirror, "/readyz?for=writes")[0] == 200, "the lock to be seen as gone")
