"""CAs, certificates and lists of revoked certificates, with any content and dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def named(*common_names: str) -> x509.Name:
    """Return a subject with common names, and nothing else."""
    return x509.Name([_common_name(name) for name in common_names])


def _common_name(name: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def written(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write the certificate and the key. Returns their paths."""
        certificate, key = folder / f"{name}.cert", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, key


@dataclass
class ClientCa:
    """A CA that issues whatever a test wants.

    Attributes:
        name: common name of the CA.
        parent: CA that has issued the certificate of this one; None for a CA that has signed itself.
        now: time around which its certificates are valid.
        days: validity of its own certificate from ``now`` on, in days.
    """

    name: str = "clients"
    parent: ClientCa | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    days: int = 3650

    def __post_init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        above = Issued(None, key) if self.parent is None else self.parent.own  # type: ignore[arg-type]
        issuer = named(self.name) if self.parent is None else named(self.parent.name)
        basic = (x509.BasicConstraints(ca=True, path_length=None), True)
        self.own = self._signed(named(self.name), issuer, key, above.key, timedelta(days=self.days), [basic])

    @property
    def pem(self) -> bytes:
        return self.own.pem

    def issue(
        self,
        subject: str | x509.Name,
        *names: x509.GeneralName,
        lasting: timedelta = timedelta(days=30),
        extensions: Sequence[tuple[Any, bool]] = (),
    ) -> Issued:
        """Issue a certificate for a client.

        Args:
            subject: common name, or whole subject.
            names: alternative names.
            lasting: validity from now on.
            extensions: further extensions, and whether each is critical.
        """
        name = named(subject) if isinstance(subject, str) else subject
        more = [*extensions, *([(x509.SubjectAlternativeName(names), False)] if names else [])]
        key = ec.generate_private_key(ec.SECP256R1())
        return self._signed(name, self.own.certificate.subject, key, self.own.key, lasting, more)

    def revoked(
        self, *issued: Issued, lasting: timedelta = timedelta(days=7), extensions: Sequence[tuple[Any, bool]] = ()
    ) -> bytes:
        """Return the list of revoked certificates in PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.own.certificate.subject)
            .last_update(self.now - timedelta(days=1) + lasting / 100)
            .next_update(self.now + lasting)
        )
        for each in issued:
            serial = each.certificate.serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(self.now).build()
            builder = builder.add_revoked_certificate(entry)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.own.key, SHA256()).public_bytes(Encoding.PEM)

    def _signed(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        by: ec.EllipticCurvePrivateKey,
        lasting: timedelta,
        extensions: Sequence[tuple[Any, bool]],
    ) -> Issued:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(days=1))
            .not_valid_after(self.now + lasting)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return Issued(builder.sign(by, SHA256()), key)
