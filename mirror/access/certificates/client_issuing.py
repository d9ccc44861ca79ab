"""Certificates of clients: issued by a CA of their own, and revoked by a list. All calls block."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from mirror.access.certificates.certificate_authority import LONGEST_COMMON_NAME, CertificateAuthority, new_key
from mirror.access.certificates.certificate_folder import CertificateFolder, key_of, read_authority
from mirror.access.certificates.pem_files import (
    certificates_pem,
    key_pem,
    locked_folder,
    make_folders,
    read_certificates,
    read_revocation_lists,
    revocation_list_pem,
    write_file,
)
from mirror.oci.errors import ConfigurationFault

#: The name of a client is the name of a file as well.
NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_COMMON_NAME - 1}}}")


def issue_client_certificate(
    folder: CertificateFolder, name: str, lifetime: timedelta, now: datetime
) -> tuple[Path, Path]:
    """Create a certificate and a key for a client. Create the CA of clients and its empty list on first use.

    Args:
        folder: the folder.
        name: common name of the client: at most 64 letters, digits and ``._-``.
        lifetime: lifetime of the certificate. It ends with the CA at the latest.
        now: the current time.

    Returns:
        The paths of the certificate and the key.

    Raises:
        ConfigurationFault: the name is invalid, the client has a valid certificate already, or files do not belong
            together.
        StorageFault: a file cannot be written.
    """
    if NAME.fullmatch(name) is None:
        raise ConfigurationFault(
            f"{name!r} cannot be the name of a client; fix: use at most {LONGEST_COMMON_NAME} letters, digits and "
            ". _ -, with a letter or digit first"
        )
    certificate_file, key_file = folder.client(name)
    make_folders(certificate_file.parent)
    with locked_folder(folder.root):
        ca = _client_ca(folder, now)
        if certificate_file.exists():
            _require_replaceable(folder, certificate_file, now)
        key = new_key()  # never a former one, which somebody else may have
        write_file(key_file, key_pem(key))
        certificate = ca.issue_client(key.public_key(), name, now, lifetime)
        write_file(certificate_file, certificates_pem([certificate]))
    return certificate_file, key_file


def revoke_client_certificate(folder: CertificateFolder, certificate_file: Path, now: datetime) -> bool:
    """Add a certificate to the list of revoked ones.

    Args:
        folder: the folder with the CA of clients.
        certificate_file: the certificate.
        now: the current time.

    Returns:
        False if the certificate was revoked before.

    Raises:
        ConfigurationFault: a file cannot be read, or the certificate is not from this CA.
        StorageFault: the list cannot be written.
    """
    certificate = read_certificates(certificate_file)[0]
    with locked_folder(folder.root):
        ca = read_authority(folder.client_ca, folder.client_ca_key)
        if not ca.has_issued(certificate):
            raise ConfigurationFault(
                f"{certificate_file} is not from the CA {folder.client_ca}, and only a CA revokes its certificates; "
                "fix: name a certificate that 'plugin-mirror tls client' has made"
            )
        lists = read_revocation_lists(folder.client_crl)
        own = [each for each in lists if ca.has_signed(each)]
        if not own:
            raise ConfigurationFault(
                f"{folder.client_crl} has no list of revoked certificates of the CA {folder.client_ca}; fix: restore "
                "it from a copy, because a new list would accept the certificates that were revoked before"
            )
        former = max(own, key=lambda each: each.last_update_utc)
        if former.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            return False
        revoked = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now).build()
        new = ca.revocation_list([*former, revoked], _number_of(former) + 1, now)
        # The file may have the lists of other CAs too.
        others = [each for each in lists if each not in own]
        write_file(folder.client_crl, b"".join(map(revocation_list_pem, [new, *others])))
        return True


def revoked_serials(folder: CertificateFolder) -> frozenset[int]:
    """Return the serial numbers of the revoked certificates. Raises ConfigurationFault if the list cannot be read."""
    return frozenset(each.serial_number for revoked in read_revocation_lists(folder.client_crl) for each in revoked)


def _client_ca(folder: CertificateFolder, now: datetime) -> CertificateAuthority:
    if folder.client_ca.exists():
        return read_authority(folder.client_ca, folder.client_ca_key)
    ca = CertificateAuthority.for_clients(key_of(folder.client_ca_key), now)
    # The list comes first, and is never replaced: a CA without its list has lost it, and an empty one would accept
    # revoked certificates.
    if not folder.client_crl.exists():
        write_file(folder.client_crl, revocation_list_pem(ca.revocation_list([], 1, now)))
    write_file(folder.client_ca, certificates_pem([ca.certificate]))
    return ca


def _require_replaceable(folder: CertificateFolder, certificate_file: Path, now: datetime) -> None:
    """Raise ConfigurationFault if a certificate is valid: without its file nobody could revoke it."""
    certificate = read_certificates(certificate_file)[0]
    if now < certificate.not_valid_after_utc and certificate.serial_number not in revoked_serials(folder):
        raise ConfigurationFault(
            f"{certificate_file} is valid, and could not be revoked without its file; fix: revoke it with "
            f"'plugin-mirror tls revoke {certificate_file.stem}', or move the file to another place"
        )


def _number_of(revoked: x509.CertificateRevocationList) -> int:
    try:
        return revoked.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:  # a list from another program
        return 0
