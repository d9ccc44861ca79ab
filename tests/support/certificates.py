"""Certificates for tests, made anew in each run."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mirror.server.tls.server_certificates import ServerTls
from mirror.server.tls.tls_socket import TlsSocket


@dataclass(frozen=True, slots=True)
class OneContext:
    """Gives every connection the same TLS context."""

    context: ssl.SSLContext

    async def current(self) -> ssl.SSLContext:
        self.context.sslsocket_class = TlsSocket
        return self.context


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """An authority, and files with a certificate of a server on this machine."""

    ca: trustme.CA
    certificate: Path
    key: Path

    @classmethod
    def made(cls, folder: Path, ca: trustme.CA | None = None, *, name: str = "server", **options: Any) -> Self:
        """Write a certificate for this machine, and its key. `options` are those of `trustme.CA.issue_cert`."""
        ca = ca or trustme.CA()
        issued = ca.issue_cert("127.0.0.1", "::1", "localhost", **options)
        files = cls(ca, folder / f"{name}.crt", folder / f"{name}.key")
        files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(files.key)
        return files

    def tls(self, **more: Path) -> ServerTls:
        """Return the files of the server. `more` names further ones."""
        return ServerTls(self.certificate, self.key, **more)

    def trusting(self) -> ssl.SSLContext:
        """Return the context of a client that trusts the authority."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context


def revoked_list(
    ca: trustme.CA, *serials: int, since: timedelta = timedelta(hours=-1), until: timedelta = timedelta(days=1)
) -> bytes:
    """Return a list of revoked certificates, in PEM format."""
    now = datetime.now(UTC)
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    key = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    built = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    built = built.last_update(now + since).next_update(now + until)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        built = built.add_revoked_certificate(revoked.build())
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
