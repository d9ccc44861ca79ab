"""Clients of servers with TLS, and the certificate that both sides share."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from tests.bench import certificate, client
from tests.bench.certificate import Certificate
from tests.bench.content import Body
from tests.bench.servers import Server
from tests.support.quiet_http import QuietHTTPServer

BLOB = Body.of(b"content")


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"content")

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def serving(served: Certificate, tls: ssl.SSLContext | None) -> Iterator[Server]:
    """Serve one blob with TLS. Yield the server for clients that use `tls`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served.file)
    with QuietHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Server(server.server_port, pid=0, tls=tls)
        finally:
            server.shutdown()
            thread.join()


def pull(server: Server) -> None:
    with server.connected() as connection:
        client.pull_blob(connection, client.new_buffer(), BLOB.digest, BLOB.size_bytes)


def test_the_key_is_of_the_kind_that_all_servers_use() -> None:
    with certificate.made() as made:
        key = x509.load_pem_x509_certificate(made.file.read_bytes()).public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    assert isinstance(key.curve, SECP256R1)


def test_a_client_pulls_with_tls_from_a_server_that_it_trusts() -> None:
    with certificate.made() as made, serving(made, made.trust) as server:
        pull(server)
        assert server.url("/v2/") == f"https://127.0.0.1:{server.port}/v2/"


def test_a_client_refuses_a_server_with_the_certificate_of_another_run() -> None:
    with (
        certificate.made() as made,
        certificate.made() as other,
        serving(made, other.trust) as server,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        pull(server)


def test_a_client_without_tls_is_not_served() -> None:
    with certificate.made() as made, serving(made, None) as server, pytest.raises(ConnectionError):
        pull(server)
    assert server.url("/v2/") == f"http://127.0.0.1:{server.port}/v2/"
