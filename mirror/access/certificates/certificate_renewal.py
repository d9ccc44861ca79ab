"""Renewal of a server certificate by its own CA. All calls block."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cryptography import x509

from mirror.access.certificates.certificate_authority import SERVER_LIFETIME, CertificateAuthority
from mirror.access.certificates.certificate_folder import ServerFiles
from mirror.access.certificates.certificate_names import CertificateNames
from mirror.access.certificates.pem_files import (
    certificates_pem,
    locked_folder,
    read_certificates,
    read_private_key,
    write_file,
)
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time

#: A certificate is renewed when less than this part of its lifetime is left.
_LEAST_PART_LEFT: Final = 1 / 3


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Return True if a third of the lifetime is left, or if the certificate is not valid yet.

    A certificate is not valid yet after the clock was set back.
    """
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now < begins or ends - now <= (ends - begins) * _LEAST_PART_LEFT


def require_renewable(files: ServerFiles) -> None:
    """Check the files of a server whose certificate is renewed.

    Raises:
        ConfigurationFault: a file cannot be read, or the certificate is not from this CA.
    """
    _require_issued(files, files.authority(), read_certificates(files.certificate)[0])
    read_private_key(files.key)


def renew_if_due(files: ServerFiles, now: datetime) -> x509.Certificate | None:
    """Renew the certificate of a server if :func:`is_due` says so. Several processes may call this at the same time.

    Returns:
        The new certificate, or None if it was not due.

    Raises:
        ConfigurationFault: see :func:`renew`. Also raised if the CA expires as early as the certificate.
        StorageFault: the certificate cannot be written.
    """
    if not is_due(read_certificates(files.certificate)[0], now):
        return None
    with locked_folder(files.certificate.parent):
        found = read_certificates(files.certificate)
        if not is_due(found[0], now):
            return None  # another process has renewed it
        ca, (begins, ends) = files.authority(), (found[0].not_valid_before_utc, found[0].not_valid_after_utc)
        # Without this check, the last days of a CA would bring ever shorter certificates.
        if begins <= now and ca.expiry_of(now, SERVER_LIFETIME) <= ends:
            raise ConfigurationFault(
                f"{files.certificate} expires on {machine_time(ends)} together with its CA {files.ca}; fix: make "
                "another CA with 'plugin-mirror tls init --out DIR', and give it to the hosts"
            )
        return _renew(files, ca, found, None, now)


def renew(files: ServerFiles, names: CertificateNames | None, now: datetime) -> x509.Certificate:
    """Replace the certificate of a server by a new one for the same key.

    One rename replaces one file, so that the key and the certificate match at any time.

    Args:
        files: the files. Intermediate certificates in the file of the certificate stay there.
        names: names of the new certificate; None for those of the former one.
        now: the current time.

    Raises:
        ConfigurationFault: a file cannot be read, the former certificate is not from this CA, or the CA does not permit
            the names or is not valid now.
        StorageFault: the certificate cannot be written. The former one stays.
    """
    if not files.certificate.exists():
        raise ConfigurationFault(f"there is no {files.certificate}; fix: make one with 'plugin-mirror tls init'")
    with locked_folder(files.certificate.parent):
        return _renew(files, files.authority(), read_certificates(files.certificate), names, now)


def _renew(
    files: ServerFiles,
    ca: CertificateAuthority,
    former: list[x509.Certificate],
    names: CertificateNames | None,
    now: datetime,
) -> x509.Certificate:
    _require_issued(files, ca, former[0])
    names = names or CertificateNames.of(former[0])
    if names.main is None:
        raise ConfigurationFault(f"{files.certificate} is for no name; fix: run 'plugin-mirror tls renew --san NAME'")
    new = ca.issue_server(read_private_key(files.key).public_key(), names, now)
    write_file(files.certificate, certificates_pem([new, *former[1:]]))
    return new


def _require_issued(files: ServerFiles, ca: CertificateAuthority, certificate: x509.Certificate) -> None:
    if not ca.has_issued(certificate):
        raise ConfigurationFault(
            f"{files.certificate} is not from the CA {files.ca}, which renews only its own certificates; fix: remove "
            "server.tls.ca_key if another program renews it, or name the files of its CA"
        )
