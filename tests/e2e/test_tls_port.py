"""The TLS port of the running server, seen by openssl: versions, cipher suites, extensions, sessions and the chain."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.harness import openssl
from tests.harness.mirror import Mirror
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.harness.tls_files import TlsFiles, fingerprint

pytestmark = pytest.mark.e2e

TLS_1_2 = ("-tls1_2",)
#: Lets openssl offer also what it takes for unsafe.
UNSAFE = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
SUITES = ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305")
# A ClientHello of SSL 3.0 (RFC 6101, section 5.6.1.2) with three cipher suites. openssl has no SSL 3.0 any more.
SSL_3_HELLO = (
    bytes.fromhex("16 0300 0031 01 00002d 0300") + bytes(range(32)) + bytes.fromhex("00 0006 c014 0035 000a 01 00")
)


@dataclass(frozen=True)
class Port:
    """A server's port.

    Attributes:
        mirror: The server.
        issued: Its certificate.
        ca: File with the root CA.
        kind: Kind of its key in the names of cipher suites, `ECDSA` or `RSA`. The one with `RSA` takes client
            certificates.
        files: Files of its certificate.
    """

    mirror: Mirror
    issued: trustme.LeafCert
    ca: Path
    kind: str
    files: TlsFiles

    @property
    def wants_certificates(self) -> bool:
        """True if clients may show certificates."""
        return self.kind == "RSA"

    @property
    def reloads(self) -> int:
        """How often processes have read the files again."""
        return sum(line["event"] == "file reloaded" for line in self.mirror.log)

    def shakes_hands(self, *options: str) -> bool:
        """Return True if a handshake with these options of openssl succeeds."""
        return openssl.s_client(self.mirror.port, *options, check=False).exit_code == 0

    def said(self, *options: str, input_text: str = "") -> str:
        """Return what openssl says about a connection."""
        return openssl.s_client(self.mirror.port, *options, input_text=input_text).stdout


@pytest.fixture(scope="module", params=["ECDSA", "RSA"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    """A server with two workers, whose certificate is signed by an intermediate CA."""
    require(openssl.missing())
    folder, key_type = tmp_path_factory.mktemp("tls"), trustme.KeyType[request.param]
    root = trustme.CA(key_type=key_type)
    issued = root.create_child_ca(key_type=key_type).issue_cert("mirror.test", "127.0.0.1", key_type=key_type)
    root.cert_pem.write_to_path(str(folder / "ca.crt"))
    files = TlsFiles(folder, issued)
    section = {"tls": files.section}
    if request.param == "RSA":
        section["tls"]["client_ca"] = str(folder / "ca.crt")
    with Mirror(workers=2, sections={"server": section}) as mirror:
        yield Port(mirror, issued, folder / "ca.crt", request.param, files)


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(port: Port, version: str) -> None:
    refused = openssl.s_client(port.mirror.port, version, "-cipher", UNSAFE, check=False)
    assert refused.exit_code != 0
    assert "alert protocol version" in refused.stderr


def test_ssl_3_is_refused(port: Port) -> None:
    with socket.create_connection(("127.0.0.1", port.mirror.port), timeout=60) as connection:
        connection.sendall(SSL_3_HELLO)
        answer = connection.makefile("rb").read()
    # A record of type 21 is an alert, and level 2 is fatal.
    assert (answer[0], answer[5], len(answer)) == (21, 2, 7)


@pytest.mark.parametrize(("version", "name"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_new_versions_are_spoken(port: Port, version: str, name: str) -> None:
    assert f"New, {name}, Cipher is " in port.said(version)


def test_tls_1_2_has_suites_with_forward_secrecy_and_authentication_only(port: Port) -> None:
    own = [f"ECDHE-{port.kind}-{suite}" for suite in SUITES]
    for suite in own:
        assert f"Cipher is {suite}" in port.said(*TLS_1_2, "-cipher", suite)
    others = ":".join([UNSAFE, *(f"!{suite}" for suite in own)])
    refused = openssl.s_client(port.mirror.port, *TLS_1_2, "-cipher", others, check=False)
    assert refused.exit_code != 0
    assert "handshake failure" in refused.stderr


def test_tls_1_3_has_the_suites_that_openssl_has_by_default(port: Port) -> None:
    for suite in ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"):
        assert f"Cipher is {suite}" in port.said("-tls1_3", "-ciphersuites", suite)
    assert not port.shakes_hands("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256:TLS_AES_128_CCM_SHA256")


def test_nothing_is_compressed(port: Port) -> None:
    said = port.said(*TLS_1_2, "-comp")
    assert "Compression: NONE" in said


def test_a_client_cannot_renegotiate(port: Port) -> None:
    asked = openssl.s_client(port.mirror.port, *TLS_1_2, input_text="R\n", check=False)
    assert "Secure Renegotiation IS supported" in asked.stdout
    assert "RENEGOTIATING" in asked.stdout + asked.stderr
    assert "no renegotiation" in asked.stderr


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [("h2,http/1.1", "ALPN protocol: http/1.1"), ("h2", "No ALPN negotiated"), ("", "No ALPN negotiated")],
)
def test_http_1_1_is_the_only_protocol(port: Port, offered: str, chosen: str) -> None:
    assert chosen in port.said(*(("-alpn", offered) if offered else ()))


@pytest.mark.parametrize("names", [("-servername", "another.test"), ("-servername", "mirror.test"), ("-noservername",)])
def test_every_name_gets_the_same_certificate_and_its_chain(port: Port, names: tuple[str, ...]) -> None:
    said = port.said("-showcerts", "-CAfile", str(port.ca), "-verify_return_error", *names)
    assert "Verify return code: 0 (ok)" in said
    sent = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", said, re.DOTALL)
    assert [fingerprint(each.encode()) for each in sent] == [
        fingerprint(blob.bytes()) for blob in port.issued.cert_chain_pems
    ]


def resumes(port: Port, version: str, session: Path) -> bool:
    """Return True if a connection resumes a session."""
    return "Reused, TLS" in port.said(version, "-sess_in", str(session))


def new_session(port: Port, version: str, folder: Path) -> Path:
    """Return the file with the session of a connection that got an answer. Without a session, there is no file."""
    session = folder / "session"
    answered = port.said(version, "-sess_out", str(session), "-ign_eof", input_text="GET /healthz HTTP/1.0\r\n\r\n")
    assert " 200 OK" in answered
    return session


def test_tls_1_3_resumes_no_session_where_clients_show_certificates(port: Port, tmp_path: Path) -> None:
    session = new_session(port, "-tls1_3", tmp_path)
    assert session.exists() != port.wants_certificates


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_ends_with_the_files_it_began_with(port: Port, version: str, tmp_path: Path) -> None:
    """A list of revoked certificates is checked at the handshake. A resumed session would go on with an older list."""
    session = new_session(port, version, tmp_path)
    if not session.exists():
        assert port.wants_certificates
        return
    # Processes share no sessions, and TLS 1.2 keeps them in the process.
    wait_until(lambda: resumes(port, version, session), "a connection to the process that knows the session")
    before = port.reloads
    port.files.replace(port.issued)
    wait_until(lambda: port.reloads >= before + 2, "both processes to read the files again")
    assert not any(resumes(port, version, session) for _ in range(10))
