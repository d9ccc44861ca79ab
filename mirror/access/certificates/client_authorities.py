"""CA certificates of clients with their lists of revoked certificates, as read from files at one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from mirror.access.callers import CertificateRefused
from mirror.access.certificates.client_identity import ClientIdentity
from mirror.access.certificates.client_names import UNREADABLE, identity_of
from mirror.access.certificates.pem_files import read_certificates, read_revocation_lists
from mirror.oci.errors import ConfigurationFault
from mirror.oci.printable_text import printable
from mirror.oci.timestamps import machine_time

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
#: Most CA certificates above the certificate of a client.
_MOST_AUTHORITIES: Final = 8
#: Most certificates that are remembered as good.
_MOST_KNOWN: Final = 4096


@dataclass(frozen=True)
class ClientAuthority:
    """CA of clients.

    Attributes:
        certificate: certificate of the CA.
        revoked: newest list of certificates that the CA has revoked; None if certificates cannot be revoked.
    """

    certificate: x509.Certificate
    revoked: x509.CertificateRevocationList | None

    @property
    def name(self) -> str:
        """Subject of the CA."""
        return _shown(self.certificate.subject)

    @property
    def end_of_list(self) -> datetime:
        """Time from which on the list of revoked certificates is too old."""
        return _NEVER if self.revoked is None else self.revoked.next_update_utc or _NEVER

    def has_issued(self, certificate: x509.Certificate) -> bool:
        """Return True if the CA has signed a certificate."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (*UNREADABLE, InvalidSignature, UnsupportedAlgorithm):
            return False
        return True

    def has_revoked(self, certificate: x509.Certificate) -> bool:
        """Return True if the list has the certificate."""
        return certificate.serial_number in self._revoked_serials

    @cached_property
    def _revoked_serials(self) -> frozenset[int]:
        return frozenset(each.serial_number for each in self.revoked or ())


@dataclass(frozen=True, slots=True)
class _GoodCertificate:
    identity: ClientIdentity
    since: datetime
    until: datetime


class ClientAuthorities:
    """All CAs of clients. They decide whether a certificate is good at the time of a request.

    The handshake of TLS has verified each certificate once. A connection outlives changes of the files, and the
    certificate, so each request asks again. Good certificates are remembered, so that asking again is one look-up.

    Args:
        authorities: the CAs.
    """

    def __init__(self, authorities: Sequence[ClientAuthority]) -> None:
        # A renewed CA has the name and the key of the old one. The one that lasts longer decides.
        self._authorities = sorted(authorities, key=lambda each: each.certificate.not_valid_after_utc, reverse=True)
        self._known: dict[bytes, _GoodCertificate] = {}

    @classmethod
    def read(cls, ca_file: Path, list_file: Path | None) -> ClientAuthorities:
        """Read the files ``server.tls.client_ca`` and ``server.tls.client_crl``. Blocks.

        Raises:
            ConfigurationFault: a file cannot be read or has other content, or a CA has no list in the second file.
        """
        certificates = _read_certificates(ca_file)
        if list_file is None:
            return cls([ClientAuthority(certificate, None) for certificate in certificates])
        lists = _read_lists(list_file)
        return cls([ClientAuthority(each, _list_of(each, lists, list_file)) for each in certificates])

    @property
    def pem(self) -> str:
        """The certificates of the CAs in PEM format."""
        return "".join(each.certificate.public_bytes(Encoding.PEM).decode() for each in self._authorities)

    @property
    def lists(self) -> list[x509.CertificateRevocationList]:
        """The list of revoked certificates that counts, for each CA; empty if nothing is revoked."""
        return [each.revoked for each in self._authorities if each.revoked is not None]

    def known(self, der: bytes, now: datetime) -> ClientIdentity | None:
        """Return the identity of a client whose certificate was found good before; None if it has to be judged."""
        good = self._known.get(der)
        return good.identity if good is not None and good.since <= now < good.until else None

    def judge(self, der: bytes, now: datetime) -> ClientIdentity:
        """Return the identity of a client, and remember it.

        Args:
            der: certificate of the client, which the handshake of TLS has verified.
            now: current time, in UTC.

        Raises:
            CertificateRefused: the certificate is unreadable, expired, revoked, or of a CA that is not in the files.
        """
        try:
            good = self._judged(der, now)
        except UNREADABLE as error:
            raise CertificateRefused(
                "the client certificate cannot be read: it is damaged; fix: have it issued again"
            ) from error
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[der] = good
        return good.identity

    def _judged(self, der: bytes, now: datetime) -> _GoodCertificate:
        certificate = x509.load_der_x509_certificate(der)
        if certificate.serial_number <= 0:  # RFC 5280, section 4.1.2.2; the library warns, and will refuse to read it
            raise CertificateRefused("the client certificate cannot be read: its serial number is not positive")
        identity, issuers = identity_of(certificate), list(self._issuers(certificate))
        if not issuers:
            raise CertificateRefused(
                f"{identity.name} is not from a CA in server.tls.client_ca; fix: use a certificate from one of these "
                f"CAs, or add the certificate of {_shown(certificate.issuer)} to the file"
            )
        chain = [certificate, *(issuer.certificate for issuer in issuers)]
        # The last CA has signed itself, or the files do not say who has.
        for link, issuer in zip(chain, [*issuers, issuers[-1]], strict=True):
            _require_good(link, issuer, now)
        return _GoodCertificate(
            identity,
            since=max(link.not_valid_before_utc for link in chain),
            until=min(*(link.not_valid_after_utc for link in chain), *(issuer.end_of_list for issuer in issuers)),
        )

    def _issuers(self, certificate: x509.Certificate) -> Iterator[ClientAuthority]:
        """Yield the CA that has signed the certificate, then the CA that has signed that one, up to the last known."""
        for _ in range(_MOST_AUTHORITIES):
            issuer = next((each for each in self._authorities if each.has_issued(certificate)), None)
            if issuer is None:
                return
            yield issuer
            certificate = issuer.certificate
            if certificate.issuer == certificate.subject:
                return


def _require_good(link: x509.Certificate, issuer: ClientAuthority, now: datetime) -> None:
    """Check one certificate of a chain against the clock, and against the list of its issuer.

    Raises:
        CertificateRefused: the certificate or the list is not valid now, or the certificate is revoked.
    """
    name, since, until = _shown(link.subject), link.not_valid_before_utc, link.not_valid_after_utc
    if not since <= now < until:
        raise CertificateRefused(
            f"the certificate {name} is valid from {machine_time(since)} to {machine_time(until)}, and it is "
            f"{machine_time(now)}; fix: have a new certificate issued, or set the clock of the server"
        )
    if now >= issuer.end_of_list:
        raise CertificateRefused(
            f"the list of certificates that {issuer.name} has revoked ended on {machine_time(issuer.end_of_list)}; "
            "fix: put a new list into server.tls.client_crl"
        )
    if issuer.has_revoked(link):
        raise CertificateRefused(f"the certificate {name} has been revoked; fix: have a new certificate issued")


def _read_certificates(path: Path) -> list[x509.Certificate]:
    where = f"server.tls.client_ca {path}"
    certificates = read_certificates(path, "server.tls.client_ca")
    try:
        others = [_shown(each.subject) for each in certificates if not _is_authority(each)]
    except UNREADABLE as error:
        raise ConfigurationFault(f"{where} has a damaged certificate; fix: have it issued again") from error
    if others:
        raise ConfigurationFault(f"{where} has a certificate that is not of a CA: {others[0]}; fix: remove it")
    return certificates


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _read_lists(path: Path) -> list[x509.CertificateRevocationList]:
    where = f"server.tls.client_crl {path}"
    lists = read_revocation_lists(path, "server.tls.client_crl")
    try:
        partial = [_shown(each.issuer) for each in lists if any(one.critical for one in each.extensions)]
    except UNREADABLE as error:
        raise ConfigurationFault(
            f"{where} has a damaged list of revoked certificates; fix: have the CA write it again"
        ) from error
    if partial:
        raise ConfigurationFault(
            f"{where} has a list of {partial[0]} that is not complete by itself; fix: have the CA write a complete list"
        )
    return lists


def _list_of(
    certificate: x509.Certificate, lists: Sequence[x509.CertificateRevocationList], path: Path
) -> x509.CertificateRevocationList:
    """Return the newest list that a CA has signed. Raises ConfigurationFault if there is none."""
    own = [each for each in lists if _has_signed(certificate, each)]
    if not own:
        raise ConfigurationFault(
            f"server.tls.client_crl {path} has no list of revoked certificates that {_shown(certificate.subject)} in "
            "server.tls.client_ca has signed; fix: add the list in PEM format, which begins with "
            "-----BEGIN X509 CRL-----"
        )
    return max(own, key=lambda each: each.last_update_utc)


def _has_signed(certificate: x509.Certificate, revoked: x509.CertificateRevocationList) -> bool:
    try:
        if revoked.issuer != certificate.subject:
            return False
        return revoked.is_signature_valid(certificate.public_key())  # type: ignore[arg-type]  # others raise TypeError
    except (*UNREADABLE, UnsupportedAlgorithm):
        return False


def _shown(name: x509.Name) -> str:
    return printable(name.rfc4514_string(), 200) or "without a name"
