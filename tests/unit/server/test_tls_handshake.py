"""Connections to the port with TLS, from the first byte to the end of the handshake."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from mirror.registry.memory import MemoryRegistry
from mirror.runtime.concurrency.threads import in_thread
from mirror.server.http.server_limits import ServerLimits
from mirror.server.http_application import build
from mirror.server.http_server import Listener, listen, serving
from mirror.server.tls import tls_handshake
from mirror.server.tls.tls_transport import TlsTransport
from tests.support.certificates import CertificateFiles, OneContext, revoked_list
from tests.support.served import Served, served
from tests.support.waiting import until


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return CertificateFiles.made(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def encrypted(files: CertificateFiles, **options: Any) -> AsyncIterator[Served]:
    async with served(tls=files.tls().context(datetime.now(UTC)), **options) as server:
        server.tls = files.trusting()
        yield server
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def raw(server: Served, *pieces: bytes) -> bytes:
    """Send bytes without TLS, and return what the server sends until it ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        async with asyncio.timeout(30):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
    finally:
        writer.transport.abort()


async def counts(server: Served) -> dict[str, float]:
    """Return the number of handshakes by outcome, without those that are zero."""
    page = (await server.ask("GET", "/metrics")).body.decode()
    prefix = 'plugin_mirror_tls_handshakes_total{outcome="'
    lines = [line.removeprefix(prefix).split('"} ') for line in page.splitlines() if line.startswith(prefix)]
    return {outcome: float(count) for outcome, count in lines if float(count)}


async def test_http_without_tls_is_told_to_use_https(files: CertificateFiles) -> None:
    with capture_logs() as lines:
        async with encrypted(files) as server:
            answer = await raw(server, b"GET /v2/ HTTP/1.1\r\nHost: mirror\r\n\r\n" + bytes(200_000))
            assert await counts(server) == {"plain_http": 1, "done": 1}
    head, _, body = answer.decode().partition("\r\n\r\n")
    assert head.splitlines()[0] == "HTTP/1.1 400 Bad Request"
    assert "Location" not in head
    assert body == "this port speaks HTTPS only; fix: use https:// instead of http://\n"
    failed = [line for line in lines if line["event"] == "TLS handshake failed"]
    assert failed == [
        {
            "event": "TLS handshake failed",
            "client": "127.0.0.1",
            "reason": "the client spoke HTTP without TLS to a port with TLS; fix: use https:// there",
            "log_level": "info",
        }
    ]


async def test_a_check_of_the_port_leaves_no_line(files: CertificateFiles) -> None:
    with capture_logs() as lines:
        async with encrypted(files) as server:
            with socket.create_connection(("127.0.0.1", server.port)):
                pass
            while "disconnected" not in await counts(server):
                await asyncio.sleep(0.01)
            await until(lambda: server.activity.connections.count == 0)
    assert [line for line in lines if "TLS" in line["event"]] == []


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16" + bytes(2000),
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x16\x02\x00\x00\x05hello",
    ],
)
async def test_garbage_ends_one_connection_and_no_other(files: CertificateFiles, sent: bytes) -> None:
    with capture_logs() as lines:
        async with encrypted(files) as server, server.connect() as other:
            answer = await raw(server, sent)
            assert not answer or answer[0] == 0x15  # an alert
            await other.send("GET", "/healthz")
            assert (await other.receive()).status == 200
            assert (await counts(server))["failed"] == 1
    assert [line["client"] for line in lines if line["event"] == "TLS handshake failed"] == ["127.0.0.1"]


def connect(context: ssl.SSLContext, port: int) -> None:
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost"),
    ):
        pass


async def test_a_client_that_does_not_trust_us_is_named_with_the_remedy(files: CertificateFiles) -> None:
    with capture_logs() as lines:
        async with encrypted(files) as server:
            with pytest.raises(ssl.SSLCertVerificationError):
                await in_thread(connect, ssl.create_default_context(), server.port)
            await until(lambda: [line for line in lines if line["event"] == "TLS handshake failed"])
    (line,) = [line for line in lines if line["event"] == "TLS handshake failed"]
    assert line["reason"] == (
        "the client does not trust the certificate of this server; fix: plugin-mirror tls host-setup"
    )


@pytest.mark.parametrize("pieces", [[], [b"\x16\x03\x01"]])
async def test_a_handshake_that_does_not_go_on_is_ended(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]
) -> None:
    monkeypatch.setattr(tls_handshake, "HANDSHAKE_SECONDS", 0.2)
    async with encrypted(files) as server:
        assert await raw(server, *pieces) == b""
        assert (await counts(server))["timed_out"] == 1


async def test_connections_in_their_handshake_count_for_the_limit_of_a_client(files: CertificateFiles) -> None:
    limits = ServerLimits(connections_per_client=3)
    async with encrypted(files, limits=limits) as server, AsyncExitStack() as silent:
        for _ in range(3):
            silent.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        await until(lambda: server.activity.connections.count == 3)

        answer = await server.ask("GET", "/v2/")

        assert (answer.status, answer.code) == (429, "TOOMANYREQUESTS")
    assert server.activity.connections.count == 0


async def test_a_lack_of_descriptors_passes(files: CertificateFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, known = asyncio.get_running_loop(), (errno.EMFILE, errno.ENOMEM, errno.ECONNABORTED, errno.EINVAL)
    failures = [OSError(number, os.strerror(number)) for number in known]
    accept, told = socket.socket.accept, list[BaseException]()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    monkeypatch.setattr("mirror.server.tls.tls_acceptor._RETRY_SECONDS", 0.01)

    def accept_later(listener: socket.socket) -> Any:
        if failures:
            raise failures.pop(0)
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", accept_later)
    async with encrypted(files) as server:
        assert (await server.ask("GET", "/healthz")).status == 200
    assert [error.errno for error in told if isinstance(error, OSError)] == [errno.EMFILE, errno.ENOMEM]


async def test_an_error_of_one_connection_ends_no_other(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [ZeroDivisionError("of one connection")]

    class Failing(TlsTransport):
        def __init__(self, *arguments: Any) -> None:
            if failures:
                raise failures.pop()
            super().__init__(*arguments)

    monkeypatch.setattr("mirror.server.tls.tls_acceptor.TlsTransport", Failing)
    with capture_logs() as lines:
        async with encrypted(files) as server:
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await server.ask("GET", "/healthz")
            assert (await server.ask("GET", "/healthz")).status == 200
            await until(lambda: server.activity.connections.count == 0)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["connection with TLS failed"]


async def test_no_descriptor_is_left_behind(files: CertificateFiles) -> None:
    async with encrypted(files) as server:
        await server.ask("GET", "/v2/")
        await until(lambda: server.activity.connections.count == 0)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only
        for number in range(60):
            if number % 3 == 0:
                await server.ask("GET", "/v2/")
            elif number % 3 == 1:
                await raw(server, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
            else:
                await raw(server, b"hello")
        await until(lambda: server.activity.connections.count == 0)
        assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


def client_certificate(ca: trustme.CA, context: ssl.SSLContext, **options: Any) -> int:
    """Give a client a certificate, and return its serial number."""
    from cryptography import x509

    issued = ca.issue_cert(common_name="host-12", **options)
    issued.configure_cert(context)
    return x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).serial_number


async def test_client_certificates_of_the_authority_are_accepted_and_others_refused(
    files: CertificateFiles, tmp_path: Path
) -> None:
    clients, strangers = trustme.CA(), trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.crt")
    (tmp_path / "clients.crl").write_bytes(revoked_list(clients))
    tls = files.tls(client_ca=tmp_path / "clients.crt", client_crl=tmp_path / "clients.crl")
    with capture_logs() as lines:
        async with served(tls=tls.context(datetime.now(UTC))) as server:
            server.tls = files.trusting()
            assert (await server.ask("GET", "/v2/")).status == 200  # without a certificate
            serial = client_certificate(clients, server.tls)
            assert (await server.ask("GET", "/v2/")).status == 200
            server.tls = files.trusting()
            client_certificate(strangers, server.tls)
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await server.ask("GET", "/v2/")
        (tmp_path / "clients.crl").write_bytes(revoked_list(clients, serial))
        async with served(tls=tls.context(datetime.now(UTC))) as server:
            server.tls = files.trusting()
            assert (await server.ask("GET", "/v2/")).status == 200
    reasons = [line["reason"] for line in lines if line["event"] == "TLS handshake failed"]
    assert reasons == ["the certificate of the client is refused: its authority is unknown here"]


async def test_two_listeners_and_a_network_that_may_not_connect(files: CertificateFiles) -> None:
    application = build(MemoryRegistry())
    contexts = OneContext(files.tls().context(datetime.now(UTC)))
    listeners = [
        Listener(listen("127.0.0.1", 0), contexts),
        Listener(listen("127.0.0.1", 0), networks=(ip_network("127.0.0.0/30"), ip_network("::1"))),
    ]
    secure, plain = (
        Served(each.socket.getsockname()[1], MemoryRegistry(), application.activity, None)  # type: ignore[arg-type]
        for each in listeners
    )
    secure.tls = files.trusting()
    async with serving(application, *listeners):
        assert (await secure.ask("GET", "/v2/")).status == 200
        assert (await plain.ask("GET", "/v2/")).status == 200
        async with plain.connect("127.0.0.9") as outside:
            await outside.send("GET", "/v2/")
            answer = await outside.receive()
            assert (answer.status, answer.code) == (403, "DENIED")
            assert "server.plain.networks" in answer.json["errors"][0]["message"]
            assert await outside.ended()
    assert asyncio.all_tasks() == {asyncio.current_task()}
