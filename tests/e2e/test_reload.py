"""Reload of a running server with two workers: under load, with a wrong file, and with changes that need a restart."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.readiness import wait_until

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
BLOB = os.urandom(16 * MIB)
SMALL = os.urandom(1000)
RELOADED = "configuration reloaded"
REFUSED = "configuration not reloaded, last settings stay in use"


def path_of(blob: bytes) -> str:
    return f"/v2/acme/driver/blobs/sha256:{hashlib.sha256(blob).hexdigest()}"


def upload_path(blob: bytes) -> str:
    return f"/v2/acme/driver/blobs/uploads/?digest=sha256:{hashlib.sha256(blob).hexdigest()}"


def connected(mirror: Mirror) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120))


def push(mirror: Mirror, blob: bytes) -> int:
    with connected(mirror) as connection:
        connection.request("POST", upload_path(blob), blob)
        return connection.getresponse().status


def events(mirror: Mirror, event: str) -> int:
    return sum(line["event"] == event for line in mirror.log)


def state(mirror: Mirror) -> Any:
    with urllib.request.urlopen(f"{mirror.url}/api/v1/config", timeout=120) as answer:
        return json.load(answer)


@contextmanager
def load(mirror: Mirror) -> Iterator[list[int | Exception]]:
    """Send requests on kept and on new connections inside the block. Yield their statuses and errors."""
    outcomes: list[int | Exception] = []
    stop = threading.Event()

    def ask(*, keeps: bool) -> None:
        while not stop.is_set():
            with connected(mirror) as connection:
                while not stop.is_set():
                    try:
                        connection.request("GET", path_of(SMALL))
                        answer = connection.getresponse()
                        outcomes.append(answer.status if answer.read() == SMALL else 0)
                    except (OSError, http.client.HTTPException) as error:
                        outcomes.append(error)
                        break
                    if not keeps:
                        break

    threads = [threading.Thread(target=ask, kwargs={"keeps": keeps}) for keeps in (True, True, False)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def received(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(MIB), b""))


def test_no_request_fails_during_twenty_reloads() -> None:
    with Mirror(workers=2) as mirror:
        assert [push(mirror, blob) for blob in (SMALL, BLOB)] == [201, 201]
        address, other = ("127.0.0.1", mirror.port), os.urandom(4 * MIB)
        with (
            socket.create_connection(address, timeout=120) as download,
            socket.create_connection(address, timeout=120) as upload,
            load(mirror) as outcomes,
        ):
            # The rest waits in buffers, or is not sent yet, until all reloads are over.
            download.sendall(f"GET {path_of(BLOB)} HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n\r\n".encode())
            begun = download.recv(1000)
            head = f"POST {upload_path(other)} HTTP/1.1\r\nHost: mirror\r\nContent-Length: {len(other)}\r\n\r\n"
            upload.sendall(head.encode() + other[:MIB])
            for number in range(1, 21):
                before = len(outcomes)
                mirror.configure(log={"level": "info"}, server={"reserved": [f"acme{number}/**"]})
                os.kill(mirror.pid or 0, signal.SIGHUP)
                wait_until(lambda: events(mirror, RELOADED) == 2 * number, "both workers to reload")  # noqa: B023
                wait_until(lambda: len(outcomes) > before + 3, "further requests")  # noqa: B023
            answer = begun + received(download)
            upload.sendall(other[MIB:])
            assert upload.recv(1000).startswith(b"HTTP/1.1 201 ")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.partition(b"\r\n\r\n")[2] == BLOB
        assert set(outcomes) == {200}
        assert state(mirror)["settings"]["server"]["reserved"] == ["acme20/**"]


def test_the_command_waits_and_a_wrong_file_changes_nothing(tmp_path: Path) -> None:
    with Mirror(workers=2) as mirror:
        mirror.configure(server={"anonymous": ["pull"]})
        assert mirror.command("reload").stdout == f"{mirror.host}: configuration reloaded\n"
        assert push(mirror, SMALL) == 403

        right = mirror.config.read_text()
        mirror.config.write_text("servr: {}")
        refused = plugin_mirror("reload", "--data", str(mirror.data), check=False)
        assert refused.exit_code == 1
        assert f"error: {mirror.host} keeps its last settings: {mirror.config}" in refused.stderr
        assert "servr" in refused.stderr
        assert push(mirror, SMALL) == 403
        told = state(mirror)
        assert (told["last_reload"]["succeeded"], "servr" in told["last_reload"]["error"]) == (False, True)
        wait_until(
            lambda: events(mirror, "configuration not reloaded, last settings stay in use") == 2, "both to say so"
        )

        # A file that only the workers use is found to be wrong before any of them uses the others.
        mirror.config.write_text(right)
        mirror.configure(admission={"token_file": str(tmp_path / "missing")}, server={"anonymous": ["pull", "push"]})
        assert "missing" in mirror.command("reload", check=False).stderr
        assert push(mirror, SMALL) == 403

        mirror.configure(admission={"token_file": None}, server={"anonymous": ["pull", "push"], "workers": 3})
        done = mirror.command("reload")
        assert "server.workers: the change waits for a restart" in done.stderr
        assert push(mirror, SMALL) == 201
        assert state(mirror)["waits_for_restart"] == ["server.workers"]


def test_a_worker_that_is_replaced_begins_with_the_settings_in_use() -> None:
    with Mirror(workers=2) as mirror:
        mirror.configure(server={"anonymous": ["pull"]})
        mirror.command("reload")
        for pid in Path(f"/proc/{mirror.pid}/task/{mirror.pid}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        wait_until(lambda: events(mirror, "server listening") == 4, "both workers to be replaced")
        assert push(mirror, SMALL) == 403


@pytest.mark.parametrize("workers", [1, 2])
def test_health(workers: int) -> None:
    with Mirror(workers=workers) as mirror:
        assert mirror.command("health").stdout == "ok\n"
        assert mirror.command("health", "--ready", "--writes").stdout == "ok\n"
        mirror.configure(server={"listen": "127.0.0.1:0"})
        assert mirror.command("health").exit_code == 0  # found by the data folder
        mirror.stop()
        assert mirror.command("health", check=False).exit_code == 2
        assert mirror.command("reload", check=False).exit_code == 1
