"""Certificates of a local CA for tests, and TLS handshakes in memory."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from mirror.access.certificates.certificate_authority import CertificateAuthority, new_key
from mirror.access.certificates.certificate_folder import CertificateFolder, ServerFiles, make_server_files
from mirror.access.certificates.certificate_names import CertificateNames
from mirror.access.certificates.pem_files import certificates_pem, key_pem, read_certificates, read_private_key

NAMES = ("mirror.example", "10.1.2.3")


def names(*given: str) -> CertificateNames:
    return CertificateNames.parse(given).with_loopback()


def now() -> datetime:
    """Return the time of the machine, because programs outside of the tests look at its clock."""
    return datetime.now(UTC)


def made(root: Path, given: Sequence[str] = NAMES, *, ago: timedelta = timedelta()) -> CertificateFolder:
    """Make a CA and a server certificate, as if some time ago."""
    folder = CertificateFolder(root)
    make_server_files(folder, names(*given), now() - ago)
    return folder


def leaf(files: ServerFiles) -> x509.Certificate:
    return read_certificates(files.certificate)[0]


def matches(files: ServerFiles) -> bool:
    """Return True if certificate, key and CA belong together."""
    public_key = read_private_key(files.key).public_key()
    return leaf(files).public_key() == public_key and files.authority().has_issued(leaf(files))


def forge(folder: CertificateFolder, *given: str) -> ServerFiles:
    """Make a certificate for any names with the key of the CA, as somebody could who has stolen the key."""
    ca, key = folder.server.authority(), new_key()
    thief = CertificateAuthority.for_servers(ca.key, names(*given), now())
    # Signed under the name and with the key of the CA, by a certificate that permits the names.
    issuer = CertificateAuthority(_renamed(thief, ca), ca.key)
    certificate = issuer.issue_server(key.public_key(), CertificateNames.parse(given), now())
    files = ServerFiles(folder.root / "forged.crt", folder.root / "forged.key", folder.server.ca, folder.server.ca_key)
    files.certificate.write_bytes(certificates_pem([certificate]))
    files.key.write_bytes(key_pem(key))
    return files


def _renamed(thief: CertificateAuthority, ca: CertificateAuthority) -> x509.Certificate:
    """Return the certificate of the thief with the subject of the CA."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(ca.certificate.subject)
        .issuer_name(ca.certificate.subject)
        .public_key(ca.certificate.public_key())
        .serial_number(thief.certificate.serial_number)
        .not_valid_before(thief.certificate.not_valid_before_utc)
        .not_valid_after(thief.certificate.not_valid_after_utc)
    )
    for extension in thief.certificate.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(ca.key, SHA256())


def server_context(files: ServerFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


def client_context(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca))


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    """Connect a client to a server in memory. Raises ssl.SSLError if one of them refuses the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done: set[int] = set()
    while len(done) < len(sides):
        for number, side in enumerate(sides):
            try:
                side.do_handshake()
                done.add(number)
            except ssl.SSLWantReadError:
                continue
