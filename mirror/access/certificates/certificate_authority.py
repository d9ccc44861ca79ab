"""A local CA: makes itself, and issues certificates and lists of revoked certificates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mirror.access.certificates.certificate_names import CertificateNames
from mirror.access.certificates.name_constraints import constraints_for, refused_names
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time

#: Private keys that TLS servers and CAs use.
SigningPrivateKey: TypeAlias = (
    ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)

CA_LIFETIME: Final = timedelta(days=3652)
SERVER_LIFETIME: Final = timedelta(days=90)
#: Certificates begin this long before they are made, because the clocks of hosts differ.
BACKDATED: Final = timedelta(minutes=5)
#: Longest common name (RFC 5280, appendix A.1).
LONGEST_COMMON_NAME: Final = 64


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new key for ECDSA with the curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A CA certificate and its key.

    Attributes:
        certificate: the certificate of the CA.
        key: the key that belongs to it.
    """

    certificate: x509.Certificate
    key: SigningPrivateKey

    @classmethod
    def for_servers(cls, key: SigningPrivateKey, names: CertificateNames, now: datetime) -> CertificateAuthority:
        """Return a new CA whose certificates are valid for servers with these names only."""
        builder = _ca_builder(key, f"plugin-mirror CA {names.main or ''}", now, ExtendedKeyUsageOID.SERVER_AUTH)
        return cls(_signed(builder.add_extension(constraints_for(names), critical=True), key), key)

    @classmethod
    def for_clients(cls, key: SigningPrivateKey, now: datetime) -> CertificateAuthority:
        """Return a new CA whose certificates are valid for clients only."""
        return cls(_signed(_ca_builder(key, "plugin-mirror client CA", now, ExtendedKeyUsageOID.CLIENT_AUTH), key), key)

    @classmethod
    def of(cls, certificates: Sequence[x509.Certificate], key: SigningPrivateKey, where: str) -> CertificateAuthority:
        """Return the CA whose key is given.

        Args:
            certificates: certificates, of which one belongs to the key.
            key: the key.
            where: the files of both, for the error.

        Raises:
            ConfigurationFault: no certificate belongs to the key.
        """
        for certificate in certificates:
            if certificate.public_key() == key.public_key():
                return cls(certificate, key)
        raise ConfigurationFault(f"{where} do not belong together; fix: name the certificate and the key of one CA")

    def issue_server(
        self, public_key: CertificatePublicKeyTypes, names: CertificateNames, now: datetime
    ) -> x509.Certificate:
        """Return a certificate for a server, for 90 days or until the CA expires.

        Raises:
            ConfigurationFault: the CA does not permit a name, or is not valid now.
        """
        if refused := refused_names(self.certificate, names):
            raise ConfigurationFault(
                f"the CA permits no certificate for {', '.join(refused)}: its certificate names all permitted names; "
                "fix: make another CA with 'plugin-mirror tls init --out DIR --san NAME', and give it to the hosts"
            )
        builder = self._leaf(public_key, names.main or "", now, SERVER_LIFETIME, ExtendedKeyUsageOID.SERVER_AUTH)
        return _signed(builder.add_extension(names.extension(), critical=False), self.key)

    def issue_client(
        self, public_key: CertificatePublicKeyTypes, common_name: str, now: datetime, lifetime: timedelta
    ) -> x509.Certificate:
        """Return a certificate for a client, for ``lifetime`` or until the CA expires.

        Raises:
            ConfigurationFault: the CA is not valid now.
        """
        return _signed(self._leaf(public_key, common_name, now, lifetime, ExtendedKeyUsageOID.CLIENT_AUTH), self.key)

    def has_issued(self, certificate: x509.Certificate) -> bool:
        """Return True if a certificate is signed by this CA."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        return True

    def has_signed(self, revoked: x509.CertificateRevocationList) -> bool:
        """Return True if a list of revoked certificates is signed by this CA."""
        try:
            return revoked.issuer == self.certificate.subject and revoked.is_signature_valid(self.key.public_key())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return False

    def revocation_list(
        self, revoked: Iterable[x509.RevokedCertificate], number: int, now: datetime
    ) -> x509.CertificateRevocationList:
        """Return a signed list of revoked certificates, valid until the CA expires.

        Servers read the list from a file of the same machine, so an early expiry would protect from nothing.

        Raises:
            ConfigurationFault: the CA is not valid now.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - BACKDATED)
            .next_update(self.expiry_of(now, CA_LIFETIME))
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._key_identifier(), critical=False)
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(each)
        return builder.sign(self.key, _digest_for(self.key))

    def expiry_of(self, now: datetime, lifetime: timedelta) -> datetime:
        """Return the end of a certificate that is issued now.

        Raises:
            ConfigurationFault: the CA is not valid now.
        """
        ends = self.certificate.not_valid_after_utc
        if now < self.certificate.not_valid_before_utc:
            raise ConfigurationFault(
                f"the CA is valid from {machine_time(self.certificate.not_valid_before_utc)}, and the clock says "
                f"{machine_time(now)}; fix: set the clock of this machine"
            )
        if now >= ends:
            raise ConfigurationFault(
                f"the CA expired on {machine_time(ends)}; fix: move its files away, make another one with "
                "'plugin-mirror tls init' or 'tls client', and give it to the hosts"
            )
        return min(now + lifetime, ends)

    def _leaf(
        self,
        public_key: CertificatePublicKeyTypes,
        common_name: str,
        now: datetime,
        lifetime: timedelta,
        usage: x509.ObjectIdentifier,
    ) -> x509.CertificateBuilder:
        return (
            _builder(common_name, public_key, now, self.expiry_of(now, lifetime))
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_data=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(self._key_identifier(), critical=False)
        )

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        # Clients look the CA up by its own identifier, which another program may have computed in another way.
        try:
            own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _ca_builder(
    key: SigningPrivateKey, common_name: str, now: datetime, usage: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    return (
        _builder(common_name, key.public_key(), now, now + CA_LIFETIME)
        .issuer_name(_subject(common_name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_data=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )


def _builder(
    common_name: str, public_key: CertificatePublicKeyTypes, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(common_name))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:LONGEST_COMMON_NAME])])


def _key_usage(*, signs_data: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs_data,
        key_cert_sign=not signs_data,
        crl_sign=not signs_data,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: x509.CertificateBuilder, key: SigningPrivateKey) -> x509.Certificate:
    return builder.sign(key, _digest_for(key))


def _digest_for(key: SigningPrivateKey) -> SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else SHA256()
