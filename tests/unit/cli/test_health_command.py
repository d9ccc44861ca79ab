"""``plugin-mirror health`` against servers that answer anything."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme

from mirror.app.configuration.server_record import RunningServer, pid_namespace, recorded
from mirror.cli.command_line import run
from tests.support.quiet_http import QuietHTTPServer

WELL = {
    "/healthz": (200, {"status": "ok"}),
    "/readyz": (200, {"status": "ok", "writes": "ok", "checks": {"store": "ok", "space": "ok"}}),
    "/readyz?for=writes": (200, {"status": "ok", "writes": "ok", "checks": {"store": "ok", "space": "ok"}}),
}
FULL = {"status": "ok", "writes": "failed", "checks": {"store": "ok", "space": "1 MiB are free"}}
FULL_DISK = {"/healthz": WELL["/healthz"], "/readyz": (200, FULL), "/readyz?for=writes": (503, FULL)}
BROKEN = {"/healthz": WELL["/healthz"], "/readyz": (503, {"status": "failed", "checks": {"catalog": "disk I/O error"}})}


class SixServer(QuietHTTPServer):
    address_family = socket.AF_INET6


@contextmanager
def answering(
    answers: Mapping[str, tuple[int, Any]], kind: type[QuietHTTPServer] = QuietHTTPServer, tls: Any = None
) -> Iterator[int]:
    """Run a server on a loopback address, and yield its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[self.path]
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = kind(("::1" if kind is SixServer else "127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asked(port: int, *more: str, host: str = "127.0.0.1", **sections: Any) -> int:
    """Run the command with a configuration for a port, and return its exit code."""
    server = {"listen": f"{host}:{port}", "anonymous": ["pull"]} | sections.pop("server", {})
    Path("c.yaml").write_text(json.dumps({"server": server, "storage": {"path": "data"}, **sections}))
    return run(["health", "--config", "c.yaml", *more])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("answers", "options", "code", "out", "err"),
    [
        (WELL, [], 0, "ok\n", ""),
        (WELL, ["--ready"], 0, "ok\n", ""),
        (FULL_DISK, [], 0, "ok\n", ""),
        (FULL_DISK, ["--ready"], 0, "ok for reads, not for writes\n", "warning: space: 1 MiB are free\n"),
        (FULL_DISK, ["--ready", "--writes"], 1, "", "error: space: 1 MiB are free\n"),
        (BROKEN, [], 0, "ok\n", ""),
        (BROKEN, ["--ready"], 1, "", "error: catalog: disk I/O error\n"),
    ],
)
def test_the_exit_code_is_the_answer(
    answers: Any, options: list[str], code: int, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(answers) as port:
        assert asked(port, *options) == code
    told = capsys.readouterr()
    assert (told.out, told.err) == (out, err)


@pytest.mark.parametrize("body", [b"", b"[]", b"not JSON"])
def test_another_program_at_the_address(body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with answering({"/healthz": (404, body)}) as port:
        assert asked(port) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: http://127.0.0.1:{port}/healthz: status 404; fix: start the server")


def test_nobody_at_the_address(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert asked(port, "--json") == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"error: http://127.0.0.1:{port}/healthz: Connection refused; fix: ")
    assert json.loads(told.out)["http_status"] is None


def test_a_server_that_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert asked(silent.getsockname()[1], "--timeout", "0.2") == 1
    assert ": no answer in time; fix: " in capsys.readouterr().err


@pytest.mark.parametrize(("host", "kind"), [("0.0.0.0", QuietHTTPServer), ("[::]", SixServer), ("[::1]", SixServer)])
def test_all_addresses_means_this_machine(host: str, kind: type[QuietHTTPServer]) -> None:
    with answering(WELL, kind) as port:
        assert asked(port, host=host) == 0


def test_a_path_prefix_does_not_matter() -> None:
    with answering(WELL) as port:
        assert asked(port, "--ready", server={"url": "https://example.org/registry"}) == 0


def test_a_certificate_for_other_names_does_not_matter() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("mirror.example").configure_cert(context)
    with answering(WELL, tls=context) as port:
        assert asked(port, server={"tls": {"certificate": "server.crt", "key": "server.key"}}) == 0


def test_port_0_is_asked_of_the_running_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(0) == 2
    assert "server.listen has port 0, and no server runs on the data folder data; fix: " in capsys.readouterr().err
    Path("data").mkdir()
    with answering(WELL) as port:
        server = RunningServer(os.getpid(), pid_namespace(), (f"0.0.0.0:{port}",), has_tls=False)
        with recorded(Path("data"), server, print):
            assert asked(0) == 0


@pytest.fixture
def running() -> Iterator[int]:
    """The port of a server on the folder `data`, which is not that of the configuration."""
    Path("data").mkdir()
    with answering(WELL) as port:
        server = RunningServer(os.getpid(), pid_namespace(), (f"127.0.0.1:{port}",), has_tls=False)
        with recorded(Path("data"), server, print):
            yield port


@pytest.mark.usefixtures("running")
def test_the_running_server_is_asked_wherever_the_configuration_is_by_now() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert asked(port) == 0


@pytest.mark.usefixtures("running")
def test_a_configuration_that_is_wrong_by_now_does_not_matter_to_a_running_server() -> None:
    Path("c.yaml").write_text("servr: {}")
    assert run(["health", "--config", "c.yaml", "--data", "data"]) == 0
    assert run(["health", "--config", "c.yaml"]) == 2


def test_a_server_in_another_container_is_not_asked(running: int) -> None:
    with recorded(Path("data"), RunningServer(1, "pid:[1]", (f"127.0.0.1:{running}",), has_tls=True), print):
        assert run(["health", "--data", "data"]) == 0


def test_writes_belongs_to_ready(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["health", "--writes"]) == 2
    assert "fix: write --ready --writes" in capsys.readouterr().err
