"""A CA, and what its certificates are good for."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mirror.access.certificates.certificate_authority import CertificateAuthority, new_key
from mirror.access.certificates.client_issuing import issue_client_certificate
from mirror.oci.errors import ConfigurationFault
from tests.support.clocks import START
from tests.support.local_ca import client_context, made, names, now, server_context, shake_hands


def authority() -> CertificateAuthority:
    return CertificateAuthority.for_servers(new_key(), names("mirror.example"), START)


def test_the_ca_signs_server_certificates_for_its_names_and_nothing_else() -> None:
    certificate = authority().certificate
    found = {extension.oid._name: extension for extension in certificate.extensions}
    assert {name for name, extension in found.items() if extension.critical} == {
        "basicConstraints",
        "keyUsage",
        "nameConstraints",
    }
    assert found["basicConstraints"].value == x509.BasicConstraints(ca=True, path_length=0)
    assert list(found["extendedKeyUsage"].value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    usage = found["keyUsage"].value
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    assert certificate.not_valid_after_utc - START == timedelta(days=3652)
    assert isinstance(key := certificate.public_key(), ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_a_server_certificate_begins_early_and_lasts_90_days() -> None:
    ca = authority()
    certificate = ca.issue_server(new_key().public_key(), names("mirror.example"), START)
    assert START - certificate.not_valid_before_utc == timedelta(minutes=5)
    assert certificate.not_valid_after_utc - START == timedelta(days=90)
    assert ca.has_issued(certificate)
    assert not authority().has_issued(certificate)


def test_no_certificate_outlives_its_ca() -> None:
    ca = authority()
    late = START + timedelta(days=3650)
    assert ca.issue_server(new_key().public_key(), names(), late).not_valid_after_utc == START + timedelta(days=3652)
    with pytest.raises(ConfigurationFault, match=r"the CA expired on 2036-01-02T03:04:00Z; fix: "):
        ca.issue_server(new_key().public_key(), names(), late + timedelta(days=2))


def test_a_clock_before_the_ca_was_made_is_told() -> None:
    with pytest.raises(ConfigurationFault, match=r"the clock says 1970-01-0.*; fix: set the clock"):
        authority().issue_client(new_key().public_key(), "x", START.replace(year=1970), timedelta(days=1))


def test_a_name_longer_than_a_common_name_is_no_problem() -> None:
    long = ".".join(["a" * 50] * 4)
    ca = CertificateAuthority.for_servers(new_key(), names(long), START)
    certificate = ca.issue_server(new_key().public_key(), names(long), START)
    assert len(str(certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)) == 64


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)], ids=["Ed25519", "RSA"]
)
def test_keys_of_other_programs_are_used(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> None:
    ca = CertificateAuthority.for_servers(key, names(), START)
    assert ca.has_issued(ca.issue_server(new_key().public_key(), names(), START))
    assert ca.revocation_list([], 1, START).is_signature_valid(ca.certificate.public_key())


def test_a_ca_is_found_by_its_key_among_others() -> None:
    old, new = authority(), authority()
    assert CertificateAuthority.of([old.certificate, new.certificate], new.key, "F") == new
    with pytest.raises(ConfigurationFault, match=r"^F do not belong together; fix: "):
        CertificateAuthority.of([old.certificate], new.key, "F")


def test_a_certificate_of_a_client_is_no_certificate_of_a_server(tmp_path: Path) -> None:
    folder = made(tmp_path)
    certificate, key = issue_client_certificate(folder, "mirror.example", timedelta(days=1), now())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = client_context(folder.client_ca)
    client.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(server, client, "mirror.example")


def test_a_certificate_of_a_server_is_no_certificate_of_a_client(tmp_path: Path) -> None:
    files = made(tmp_path).server
    server, client = server_context(files), client_context(files.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(files.ca)
    client.load_cert_chain(files.certificate, files.key)
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # where the handshake waits for the server's opinion
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(server, client, "mirror.example")
