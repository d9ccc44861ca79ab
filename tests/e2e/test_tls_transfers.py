"""Large uploads and downloads over TLS from the running server: every byte, in parts, resumed, and while it stops."""

from __future__ import annotations

import hashlib
import random
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path

import pytest
import trustme

from tests.harness.mirror import Mirror
from tests.harness.packing import digest_of
from tests.harness.ports import free_port
from tests.harness.pulling import MIB, workers_of
from tests.harness.readiness import tcp_accepts, wait_until
from tests.harness.tls_files import TlsFiles

pytestmark = [pytest.mark.e2e, pytest.mark.long]

REPOSITORY = "/v2/large/content"
CONTENT = random.Random(16).randbytes(200 * 1000 * 1000)
DIGEST = digest_of(CONTENT)
PATIENCE_SECONDS = 120
# Linger for 0 s: closing resets the connection, as a client that has crashed does.
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def context(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def plain_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def mirror(ca: trustme.CA, plain_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    tls = TlsFiles(tmp_path_factory.mktemp("tls"), ca.issue_cert("127.0.0.1")).section
    server = {"tls": tls, "plain": {"listen": f"127.0.0.1:{plain_port}"}}
    with Mirror(workers=2, sections={"server": server}) as mirror:
        yield mirror


@pytest.fixture(scope="module")
def connect(mirror: Mirror, context: ssl.SSLContext) -> Callable[[], HTTPSConnection]:
    """Open a connection with TLS, which verifies the server."""
    return lambda: HTTPSConnection("127.0.0.1", mirror.port, timeout=PATIENCE_SECONDS, context=context)


@pytest.fixture(scope="module")
def blob(connect: Callable[[], HTTPSConnection]) -> str:
    """Target of a blob that was uploaded in two parts, of which the first one broke off."""
    location = _location(connect, "POST", f"{REPOSITORY}/blobs/uploads/", b"")
    with closing(connect()) as connection:
        connection.putrequest("PATCH", location)
        connection.putheader("Content-Length", str(len(CONTENT)))
        connection.endheaders(CONTENT[: len(CONTENT) // 3])
        _reset(connection)
    received = 0

    def has_ended() -> bool:
        nonlocal received
        with closing(connect()) as asking:
            asking.request("GET", location)
            answer = asking.getresponse()
            before, received = received, int(answer.headers["Range"].partition("-")[2]) + 1
            return received == before

    wait_until(has_ended, "the broken upload to end", interval_seconds=0.3)
    assert 1 < received <= len(CONTENT) // 3
    assert received < len(CONTENT)
    with closing(connect()) as connection:
        span = f"{received}-{len(CONTENT) - 1}"
        connection.request("PATCH", location, body=CONTENT[received:], headers={"Content-Range": span})
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{len(CONTENT) - 1}")
    stored = _location(connect, "PUT", f"{answer.headers['Location']}?digest={DIGEST}", b"")
    assert stored.endswith(DIGEST)
    return stored


def _location(connect: Callable[[], HTTPSConnection], method: str, target: str, body: bytes) -> str:
    with closing(connect()) as connection:
        connection.request(method, target, body=body)
        answer = connection.getresponse()
        assert answer.status in (201, 202), answer.read()
        return str(answer.headers["Location"])


def _reset(connection: HTTPConnection) -> None:
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


@contextmanager
def asked(connection: HTTPConnection, target: str, wanted_range: str = "") -> Iterator[HTTPResponse]:
    with closing(connection):
        connection.request("GET", target, headers={"Range": wanted_range} if wanted_range else {})
        yield connection.getresponse()


def hashed(answer: HTTPResponse) -> str:
    digest = hashlib.sha256()
    while chunk := answer.read(MIB):
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def test_all_bytes_arrive(connect: Callable[[], HTTPSConnection], blob: str) -> None:
    with asked(connect(), blob) as answer:
        assert int(answer.headers["Content-Length"]) == len(CONTENT)
        assert hashed(answer) == DIGEST


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, 1),
        (16 * 1024 - 1, 16 * 1024 + 1),
        (MIB - 1, 3 * MIB + 7),
        (100_000_000, 150_000_000),
        (len(CONTENT) - 1, len(CONTENT)),
    ],
)
def test_a_part_is_exactly_what_was_asked_for(
    connect: Callable[[], HTTPSConnection], blob: str, start: int, stop: int
) -> None:
    with asked(connect(), blob, f"bytes={start}-{stop - 1}") as answer:
        assert (answer.status, answer.read()) == (206, CONTENT[start:stop])


def test_a_broken_download_is_resumed(connect: Callable[[], HTTPSConnection], blob: str) -> None:
    connection = connect()
    with asked(connection, blob) as answer:
        first = answer.read(60_000_000)
        _reset(connection)
    with asked(connect(), blob, f"bytes={len(first)}-") as answer:
        assert answer.status == 206
        assert digest_of(first + answer.read()) == DIGEST


def test_many_downloads_at_once(connect: Callable[[], HTTPSConnection], blob: str) -> None:
    def take(number: int) -> bool:
        start = number * 7 * MIB
        with asked(connect(), blob, f"bytes={start}-{start + 5 * MIB}") as answer:
            return answer.read() == CONTENT[start : start + 5 * MIB + 1]

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(take, range(24)))


@pytest.mark.parametrize("target", ["/v2/", "/v2/large/content/tags/list", "/v2/large/content/blobs/uploads/"])
def test_no_listener_redirects(mirror: Mirror, plain_port: int, target: str, blob: str) -> None:
    """Engines do not follow redirects of a push, and a redirect would hide that a host uses plain HTTP."""
    for method in ("GET", "POST", "PUT"):
        with closing(HTTPConnection("127.0.0.1", plain_port, timeout=PATIENCE_SECONDS)) as plain:
            plain.request(method, target)
            assert not 300 <= plain.getresponse().status < 400
        with closing(HTTPConnection("127.0.0.1", mirror.port, timeout=PATIENCE_SECONDS)) as wrong:
            wrong.request(method, target)
            answer = wrong.getresponse()
            assert (answer.status, answer.headers["Location"]) == (400, None)
            assert "https://" in answer.read().decode()


def test_tls_on_the_plain_port_ends_at_once(plain_port: int, context: ssl.SSLContext, mirror: Mirror) -> None:
    with (
        pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"),
        socket.create_connection(("127.0.0.1", plain_port), timeout=PATIENCE_SECONDS) as plain,
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_a_hello_without_end_is_refused(mirror: Mirror) -> None:
    """OpenSSL reads the length of the message in the first record, and takes no ClientHello so long."""
    record = b"\x16\x03\x01\x40\x00" + (b"\x01\xff\xff\xff\x03\x03" + bytes(16 * 1024))[: 16 * 1024]
    with socket.create_connection(("127.0.0.1", mirror.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(record)
        answer = connection.makefile("rb").read()
    assert (answer[0], answer[5]) == (21, 2), "a fatal alert, and the end of the connection"


def test_thousands_of_connections_leave_nothing_behind(
    mirror: Mirror, connect: Callable[[], HTTPSConnection], context: ssl.SSLContext
) -> None:
    def open_files() -> list[int]:
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in workers_of(mirror)]

    for _ in range(20):  # opens what stays open: threads, the catalog
        with asked(connect(), "/v2/") as answer:
            answer.read()
    before = open_files()
    hello = b"\x16\x03\x01\x02\x00\x01"
    for number in range(3000):
        with socket.create_connection(("127.0.0.1", mirror.port), timeout=PATIENCE_SECONDS) as connection:
            if number % 4 == 1:
                connection.sendall(hello)
            elif number % 4 == 2:
                connection.sendall(b"\x16" + bytes(500))
            elif number % 8 == 3:
                with context.wrap_socket(connection, server_hostname="127.0.0.1") as encrypted:
                    encrypted.sendall(b"GET /healthz HTTP/1.1\r\n")
    wait_until(lambda: all(now <= then + 2 for now, then in zip(open_files(), before, strict=True)), "files to close")


def test_downloads_finish_while_the_server_stops(
    mirror: Mirror, connect: Callable[[], HTTPSConnection], blob: str
) -> None:
    with asked(connect(), blob) as answer, ThreadPoolExecutor(1) as thread:
        first = answer.read(MIB)
        stopped = thread.submit(mirror.stop)
        accepts = tcp_accepts("127.0.0.1", mirror.port)
        wait_until(lambda: not accepts(), "the server to accept no connection any more")
        assert digest_of(first + answer.read()) == DIGEST
    assert stopped.result() == 0
    mirror.start()
