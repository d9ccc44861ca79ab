"""Certificates of clients, and their revocation."""

from __future__ import annotations

import os
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mirror.access.certificates import client_issuing
from mirror.access.certificates.certificate_folder import CertificateFolder
from mirror.access.certificates.client_issuing import issue_client_certificate, revoke_client_certificate
from mirror.access.certificates.pem_files import (
    read_certificates,
    read_private_key,
    read_revocation_lists,
    revocation_list_pem,
    write_file,
)
from mirror.oci.errors import ConfigurationFault
from tests.support.certificates import revoked_list
from tests.support.local_ca import client_context, made, now, server_context, shake_hands

YEAR = timedelta(days=365)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    return made(tmp_path / "tls")


def connect(folder: CertificateFolder, certificate: Path, key: Path) -> None:
    """Connect a client to a server that demands a certificate which is not revoked."""
    server, client = server_context(folder.server), client_context(folder.server.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    server.load_verify_locations(folder.client_ca)
    server.load_verify_locations(folder.client_crl)
    client.load_cert_chain(certificate, key)
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # where the handshake waits for the server's opinion
    shake_hands(server, client, "mirror.example")


def test_a_server_accepts_a_client_until_its_certificate_is_revoked(folder: CertificateFolder) -> None:
    one, other = (issue_client_certificate(folder, name, YEAR, now()) for name in ("host-1", "host-2"))
    connect(folder, *one)
    assert revoke_client_certificate(folder, one[0], now())
    assert not revoke_client_certificate(folder, one[0], now())
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        connect(folder, *one)
    connect(folder, *other)
    assert revoke_client_certificate(folder, other[0], now())
    (found,) = read_revocation_lists(folder.client_crl)
    assert {each.serial_number for each in found} == {
        read_certificates(path)[0].serial_number for path, _ in (one, other)
    }
    assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 3


def test_a_client_has_its_name_and_lifetime(folder: CertificateFolder) -> None:
    moment = now().replace(microsecond=0)
    path, key = issue_client_certificate(folder, "host-12", YEAR, moment)
    certificate = read_certificates(path)[0]
    assert certificate.subject.rfc4514_string() == "CN=host-12"
    assert certificate.not_valid_after_utc - moment == YEAR
    assert certificate.public_key() == read_private_key(key).public_key()
    assert (path.name, key.name) == ("host-12.cert", "host-12.key")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-a", "a b", "ä", "a" * 65, "a\n", "a\0", "cert:CN=a"])
def test_a_name_that_is_no_file_name_is_refused(name: str, folder: CertificateFolder) -> None:
    with pytest.raises(ConfigurationFault, match=r"cannot be the name of a client; fix: "):
        issue_client_certificate(folder, name, YEAR, now())
    assert not (folder.root / "clients").exists()


@given(st.text(max_size=70))
def test_every_name_that_is_accepted_is_one_file_in_the_folder(name: str) -> None:
    if client_issuing.NAME.fullmatch(name):
        path, _ = CertificateFolder(Path("/tls")).client(name)
        assert path.resolve().parent == Path("/tls/clients")


def test_a_client_with_the_name_of_the_ca_harms_nothing(folder: CertificateFolder) -> None:
    before = folder.server.ca_key.read_bytes()
    issue_client_certificate(folder, "ca", YEAR, now())
    assert folder.server.ca_key.read_bytes() == before


def test_a_valid_certificate_is_not_replaced(folder: CertificateFolder) -> None:
    path, key = issue_client_certificate(folder, "host-12", YEAR, now())
    before = path.read_bytes(), key.read_bytes()
    with pytest.raises(ConfigurationFault, match=r"is valid, and could not be revoked .*; fix: revoke it with"):
        issue_client_certificate(folder, "host-12", YEAR, now())
    assert (path.read_bytes(), key.read_bytes()) == before
    revoke_client_certificate(folder, path, now())
    connect(folder, *issue_client_certificate(folder, "host-12", YEAR, now()))
    assert key.read_bytes() != before[1]


def test_an_expired_certificate_is_replaced(folder: CertificateFolder) -> None:
    issue_client_certificate(folder, "host-12", timedelta(days=1), now())
    issue_client_certificate(folder, "host-12", YEAR, now() + timedelta(days=2))
    assert read_revocation_lists(folder.client_crl)[0].get_revoked_certificate_by_serial_number(1) is None


@pytest.mark.parametrize("written", range(5))
def test_an_interrupted_command_is_repeated(
    written: int, folder: CertificateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = written

    def write(path: Path, content: bytes) -> None:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        write_file(path, content)

    for module in ("certificate_folder", "client_issuing"):
        monkeypatch.setattr(f"mirror.access.certificates.{module}.write_file", write)
    with pytest.raises(Killed):
        issue_client_certificate(folder, "host-12", YEAR, now())
    left = 100
    connect(folder, *issue_client_certificate(folder, "host-12", YEAR, now()))


def test_a_lost_list_is_never_replaced_by_an_empty_one(folder: CertificateFolder) -> None:
    path, _ = issue_client_certificate(folder, "host-12", YEAR, now())
    folder.client_crl.unlink()
    with pytest.raises(ConfigurationFault, match=r"clients\.crl cannot be read"):
        revoke_client_certificate(folder, path, now())
    issue_client_certificate(folder, "host-13", YEAR, now())
    assert not folder.client_crl.exists()


def test_a_lost_certificate_of_the_ca_is_made_again_and_its_list_stays(folder: CertificateFolder) -> None:
    one, _ = (issue_client_certificate(folder, name, YEAR, now()) for name in ("host-1", "host-2"))
    revoke_client_certificate(folder, one[0], now())
    folder.client_ca.unlink()
    connect(folder, *issue_client_certificate(folder, "host-3", YEAR, now()))
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        connect(folder, *one)


def test_an_expired_ca_revokes_nothing(folder: CertificateFolder) -> None:
    path, _ = issue_client_certificate(folder, "host-12", YEAR, now())
    with pytest.raises(ConfigurationFault, match="the CA expired on "):
        revoke_client_certificate(folder, path, now() + 11 * YEAR)


def test_only_certificates_of_the_ca_are_revoked(folder: CertificateFolder, tmp_path: Path) -> None:
    issue_client_certificate(folder, "host-12", YEAR, now())
    other, _ = issue_client_certificate(made(tmp_path / "other"), "host-12", YEAR, now())
    with pytest.raises(ConfigurationFault, match=r"only a CA revokes its certificates; fix: "):
        revoke_client_certificate(folder, other, now())


def test_a_list_of_another_program_goes_on(folder: CertificateFolder) -> None:
    path, _ = issue_client_certificate(folder, "host-12", YEAR, now())
    ca = client_issuing.read_authority(folder.client_ca, folder.client_ca_key)
    plain = x509.CertificateRevocationListBuilder().issuer_name(ca.certificate.subject).last_update(now())
    signed = plain.next_update(now() + YEAR).sign(ca.key, ca.certificate.signature_hash_algorithm)  # type: ignore[arg-type]
    folder.client_crl.write_bytes(revocation_list_pem(signed))
    assert revoke_client_certificate(folder, path, now())
    assert len(read_revocation_lists(folder.client_crl)[0]) == 1


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_revocation_keeps_the_lists_of_other_authorities(folder: CertificateFolder, ours_first: bool) -> None:
    first, _ = issue_client_certificate(folder, "host-1", YEAR, now())
    second, _ = issue_client_certificate(folder, "host-2", YEAR, now())
    assert revoke_client_certificate(folder, first, now())
    ours, theirs = folder.client_crl.read_bytes(), revoked_list(trustme.CA(), 4711)
    folder.client_crl.write_bytes(ours + theirs if ours_first else theirs + ours)

    assert revoke_client_certificate(folder, second, now())

    serials = [{each.serial_number for each in revoked} for revoked in read_revocation_lists(folder.client_crl)]
    own = {read_certificates(each)[0].serial_number for each in (first, second)}
    assert sorted(serials, key=len) == [{4711}, own]


def test_a_file_with_lists_of_others_alone_is_not_gone_on_with(folder: CertificateFolder) -> None:
    certificate, _ = issue_client_certificate(folder, "host-1", YEAR, now())
    theirs = revoked_list(trustme.CA(), 4711)
    folder.client_crl.write_bytes(theirs)
    with pytest.raises(ConfigurationFault, match="has no list of revoked certificates of the CA"):
        revoke_client_certificate(folder, certificate, now())
    assert folder.client_crl.read_bytes() == theirs


def test_a_moved_certificate_leaves_no_key_for_the_next_one(folder: CertificateFolder, tmp_path: Path) -> None:
    certificate, key = issue_client_certificate(folder, "host-1", YEAR, now())
    former = key.read_bytes()
    certificate.rename(tmp_path / "moved")
    issue_client_certificate(folder, "host-1", YEAR, now())
    assert key.read_bytes() != former


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("is_link", [True, False])
def test_root_signs_with_no_key_that_another_user_placed(
    folder: CertificateFolder, tmp_path: Path, is_link: bool
) -> None:
    issue_client_certificate(folder, "host-1", YEAR, now())
    site = tmp_path / "site.key"
    folder.client_ca_key.rename(site)
    if is_link:
        folder.client_ca_key.symlink_to(site)
    else:
        site.rename(folder.client_ca_key)  # a file of root
    os.chown(folder.root, 12345, 12345)
    with pytest.raises(ConfigurationFault, match=r"cannot be read: Too many levels|is not of the user whose folder"):
        issue_client_certificate(folder, "host-2", YEAR, now())
    assert not folder.client("host-2")[0].exists()
