"""Clients of servers with and without TLS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.bench import client
from tests.bench.content import Body
from tests.bench.servers import Server
from tests.support.certificates import CertificateFiles
from tests.support.quiet_http import QuietHTTPServer

BLOB = Body.of(b"content")


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"content")

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return CertificateFiles.made(tmp_path)


@contextmanager
def serving(files: CertificateFiles) -> Iterator[int]:
    """Serve one blob with TLS. Yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with QuietHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def pull(port: int, tls: ssl.SSLContext | None) -> None:
    with Server(port, pid=0, tls=tls).connected() as connection:
        client.pull_blob(connection, client.new_buffer(), BLOB.digest, BLOB.size_bytes)


def test_the_key_is_of_the_kind_that_the_benchmark_names(files: CertificateFiles) -> None:
    key = load_pem_private_key(files.key.read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    assert isinstance(key.curve, SECP256R1)


def test_a_client_pulls_with_tls_from_a_server_that_it_trusts(files: CertificateFiles) -> None:
    with serving(files) as port:
        pull(port, files.trusting())


def test_a_client_refuses_a_server_of_another_authority(files: CertificateFiles, tmp_path: Path) -> None:
    trusting_another = CertificateFiles.made(tmp_path, name="another").trusting()
    with serving(files) as port, pytest.raises(ssl.SSLCertVerificationError):
        pull(port, trusting_another)


def test_a_client_without_tls_is_not_served(files: CertificateFiles) -> None:
    with serving(files) as port, pytest.raises(ConnectionError):
        pull(port, None)


def test_load_generators_get_the_url_with_its_scheme(files: CertificateFiles) -> None:
    assert Server(5000, pid=0).url("/v2/") == "http://127.0.0.1:5000/v2/"
    assert Server(5000, pid=0, tls=files.trusting()).url("/v2/") == "https://127.0.0.1:5000/v2/"
