"""Facts about the files of TLS, for reports and metrics. The calls that read files block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID

from mirror.access.certificates.certificate_folder import CertificateFolder
from mirror.access.certificates.certificate_names import CertificateNames
from mirror.access.certificates.client_issuing import revoked_serials
from mirror.access.certificates.client_names import UNREADABLE
from mirror.access.certificates.pem_files import read_certificates, read_private_key, read_revocation_lists
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time

_SOON: Final = timedelta(days=30)


class TlsPaths(Protocol):
    """The files of the section ``server.tls``. Files that are not configured are None."""

    @property
    def certificate(self) -> Path: ...
    @property
    def key(self) -> Path: ...
    @property
    def ca(self) -> Path | None: ...
    @property
    def ca_key(self) -> Path | None: ...
    @property
    def client_ca(self) -> Path | None: ...
    @property
    def client_crl(self) -> Path | None: ...


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate, or one list of revoked certificates.

    Attributes:
        subject: common name, or the whole subject if it has none; of a list, the number of revoked certificates.
        issuer: the same of the issuer.
        names: DNS names and IP addresses.
        begins: begin of the validity.
        expires: end of the validity; None for a list without an end.
        serial: serial number of a certificate; None for a list.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    begins: datetime
    expires: datetime | None
    serial: int | None = None

    def state(self, now: datetime) -> str:
        """Return ``valid``, ``not yet valid``, ``expires soon`` or ``expired``.

        ``expires soon`` begins 30 days before the end, or when a third of a shorter lifetime is left.
        """
        if now < self.begins:
            return "not yet valid"
        if self.expires is None:
            return "valid"
        if now >= self.expires:
            return "expired"
        return "expires soon" if self.expires - now <= min(_SOON, (self.expires - self.begins) / 3) else "valid"

    def to_json(self, now: datetime) -> dict[str, object]:
        """Return the facts as plain values."""
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "names": list(self.names),
            "valid_from": machine_time(self.begins),
            "expires_at": machine_time(self.expires),
            "state": self.state(now),
        }


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The content of one file of TLS.

    Attributes:
        kind: key of the section ``server.tls``.
        path: path of the file.
        content: certificates or lists; empty for a key, or if the file cannot be used.
        fault: the reason why the file cannot be used; None if it can.
    """

    kind: str
    path: Path
    content: tuple[CertificateFacts, ...] = ()
    fault: str | None = None

    def is_well(self, now: datetime) -> bool:
        """Return True if the file can be used, and nothing in it is expired or expires soon."""
        return self.fault is None and all(each.state(now) == "valid" for each in self.content)

    def to_json(self, now: datetime) -> dict[str, object]:
        """Return the facts as plain values."""
        content = [each.to_json(now) for each in self.content]
        return {"kind": self.kind, "path": str(self.path), "content": content, "fault": self.fault}


def file_facts(paths: TlsPaths) -> list[FileFacts]:
    """Return the facts about each configured file. A file that cannot be used has a fault."""
    keys = [_key("key", paths.key, paths.certificate), _key("ca_key", paths.ca_key, paths.ca)]
    return [*dated_files(paths), *(facts for facts in keys if facts is not None)]


def dated_files(paths: TlsPaths) -> list[FileFacts]:
    """Return the facts about each configured file except keys, which never expire."""
    found = [
        _facts("certificate", paths.certificate, _certificates),
        _facts("ca", paths.ca, _certificates),
        _facts("client_ca", paths.client_ca, _certificates),
        _facts("client_crl", paths.client_crl, _lists),
    ]
    return [facts for facts in found if facts is not None]


def client_facts(folder: CertificateFolder) -> list[FileFacts]:
    """Return the facts about the certificates of clients in a folder, without those that are revoked."""
    try:
        revoked = revoked_serials(folder)
    except ConfigurationFault:  # told as a fault of that file
        revoked = frozenset()
    found = (_facts("client", path, _certificates) for path in sorted(folder.clients.glob("*.cert")))
    return [each for each in found if each is not None and not any(one.serial in revoked for one in each.content)]


def earliest_expiry(facts: FileFacts) -> datetime | None:
    """Return the time at which the first certificate or list of a file expires, or None if there is none."""
    return min((each.expires for each in facts.content if each.expires is not None), default=None)


def _facts(kind: str, path: Path | None, read: Callable[[Path], Sequence[CertificateFacts]]) -> FileFacts | None:
    if path is None:
        return None
    try:
        return FileFacts(kind, path, tuple(read(path)))
    except ConfigurationFault as error:
        return FileFacts(kind, path, fault=str(error))
    except UNREADABLE:
        return FileFacts(kind, path, fault=f"{path} has a damaged certificate; fix: have it issued again")


def _key(kind: str, path: Path | None, certificate_file: Path | None) -> FileFacts | None:
    def require_match(path: Path) -> tuple[CertificateFacts, ...]:
        public_key = read_private_key(path).public_key()
        if certificate_file is not None:
            # An unreadable certificate has a fault of its own.
            try:
                certificates = read_certificates(certificate_file)
            except ConfigurationFault:
                return ()
            if all(each.public_key() != public_key for each in certificates):
                raise ConfigurationFault(
                    f"{path} is not the key of {certificate_file}; fix: name the files of one pair"
                )
        return ()

    return _facts(kind, path, require_match)


def _certificates(path: Path) -> list[CertificateFacts]:
    return [
        CertificateFacts(
            _shown(each.subject),
            _shown(each.issuer),
            tuple(CertificateNames.of(each)),
            each.not_valid_before_utc,
            each.not_valid_after_utc,
            each.serial_number,
        )
        for each in read_certificates(path)
    ]


def _lists(path: Path) -> list[CertificateFacts]:
    return [
        CertificateFacts(f"{len(each)} revoked", _shown(each.issuer), (), each.last_update_utc, each.next_update_utc)
        for each in read_revocation_lists(path)
    ]


def _shown(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = common[0].value if common else name.rfc4514_string()
    return text if isinstance(text, str) else repr(text)
