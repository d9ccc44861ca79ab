"""Names in an X.509 certificate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from mirror.access.certificates.client_identity import CertificateNameKind, ClientIdentity

#: Errors of the library about certificates that are not encoded as the standard says. It reads each part when asked.
UNREADABLE: Final = (
    ValueError,
    TypeError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
#: Most alternative names that count. The names of a certificate with more of them do not count at all.
MOST_ALTERNATIVE_NAMES: Final = 64
_KINDS: Final = (
    (CertificateNameKind.DNS, x509.DNSName),
    (CertificateNameKind.URI, x509.UniformResourceIdentifier),
    (CertificateNameKind.EMAIL, x509.RFC822Name),
)


def identity_of(certificate: x509.Certificate) -> ClientIdentity:
    """Return the identity of a client with this certificate.

    The names are the common name if there is exactly one, then the alternative names by kind, and last the SHA-256 of
    the certificate. Names that cannot be read are left out.
    """
    return ClientIdentity.of(
        [
            *_common_name(certificate),
            *_alternative_names(certificate),
            (CertificateNameKind.SHA256, certificate.fingerprint(SHA256()).hex()),
        ]
    )


def _common_name(certificate: x509.Certificate) -> Iterator[tuple[CertificateNameKind, str]]:
    try:
        found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except UNREADABLE:
        return
    # Programs disagree about which of several is meant, so none is.
    if len(found) == 1 and isinstance(found[0].value, str):
        yield CertificateNameKind.CN, found[0].value


def _alternative_names(certificate: x509.Certificate) -> Iterator[tuple[CertificateNameKind, str]]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return
    if len(list(names)) > MOST_ALTERNATIVE_NAMES:
        return
    for kind, general_name in _KINDS:
        for value in names.get_values_for_type(general_name):
            yield kind, value
